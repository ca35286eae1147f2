// SPDX-License-Identifier: Apache-2.0
// scan: looks for the end of a head while it arrives. The one hard problem is to be strict, early and linear
// at once: each byte is looked at once, however the head is cut into pieces, and the verdict does not depend
// on the cut. What lies beyond a limit is therefore never looked at, even if it has arrived already.
#include "http/grammar.h"
#include "http/line.h"
#include "http/parser.h"

/* What is to be scanned, and by which rules. */
struct scanning {
  const char *bytes;
  size_t count;
  const struct parser_limits *limits;
  bool is_request;
  enum error error;
};

static enum head_result take_line(struct head_scan *s, struct scanning *of, struct str line);

static enum head_result bad(struct scanning *of, enum error error) {
  of->error = error;
  return HEAD_BAD;
}

static enum head_result malformed(struct head_scan *s, struct scanning *of, const char *why) {
  s->why = why;
  return bad(of, ERROR_BAD_REQUEST);
}

/* Where the scan must have found the end of the head, or of a request line before. */
static size_t limit_of(const struct head_scan *s, const struct scanning *of) {
  size_t head = of->limits->head_bytes;
  if (!of->is_request || s->in_fields) return head;
  size_t line = s->line_start + METHOD_BYTES + of->limits->target_bytes + sizeof "  HTTP/1.1\r\n" - 1;
  return line < head ? line : head;
}

static enum head_result over_limit(const struct head_scan *s, struct scanning *of) {
  if (!of->is_request || s->in_fields) return bad(of, ERROR_HEAD_TOO_LARGE);
  struct str line = {of->bytes + s->line_start, s->scanned - s->line_start};
  return bad(of, str_find(line, ' ') > METHOD_BYTES ? ERROR_METHOD_TOO_LONG : ERROR_TARGET_TOO_LONG);
}

static enum head_result scan(struct head_scan *s, struct scanning *of) {
  for (;;) {
    bool in_request_line = of->is_request && !s->in_fields;
    size_t limit = limit_of(s, of), end = of->count < limit ? of->count : limit;
    size_t at = s->scanned = grammar_find_control(of->bytes, s->scanned, end, in_request_line);
    if (at == end || (at + 1 == end && of->bytes[at] == '\r'))
      return of->count > limit ? over_limit(s, of) : HEAD_MORE;
    if (of->bytes[at] == '\t' && !in_request_line) {
      s->scanned++;
      continue;
    }
    if (of->bytes[at] != '\r' && of->bytes[at] != '\n') return malformed(s, of, "a control character");
    if (of->bytes[at] != '\r' || of->bytes[at + 1] != '\n') return malformed(s, of, "CR or LF alone");
    struct str line = {of->bytes + s->line_start, at - s->line_start};
    s->scanned = s->line_start = at + 2;
    enum head_result result = take_line(s, of, line);
    if (result != HEAD_MORE) return result;
  }
}

static enum head_result take_first_line(struct head_scan *s, struct scanning *of, struct str line) {
  struct request_line request;
  struct status_line status;
  if (line.len == 0 && of->is_request) {
    s->skipped = s->scanned;
    return HEAD_MORE;
  }
  s->in_fields = true;
  if (!of->is_request)
    return status_line_parse(line, &status, &s->why) ? HEAD_MORE : bad(of, ERROR_BAD_RESPONSE);
  enum error error = request_line_parse(line, of->limits->target_bytes, &request, &s->why);
  if (error == ERROR_NONE) return HEAD_MORE;
  if (error != ERROR_BAD_REQUEST) s->why = NULL;
  return bad(of, error);
}

/* HEAD_MORE: go on with the next line. A line that begins with white space would continue the one before it,
 * which is obsolete and refused (RFC 9112 sections 2.2 and 5.2). */
static enum head_result take_line(struct head_scan *s, struct scanning *of, struct str line) {
  if (!s->in_fields) return take_first_line(s, of, line);
  if (line.len == 0) return HEAD_WHOLE;
  return grammar_is_space(line.ptr[0]) ? malformed(s, of, "a line begins with white space") : HEAD_MORE;
}

enum head_result head_scan_request(struct head_scan *s, const char *bytes, size_t count,
                                   const struct parser_limits *limits, size_t *length, enum error *error) {
  struct scanning of = {bytes, count, limits, true, ERROR_NONE};
  enum head_result result = scan(s, &of);
  *length = s->scanned;
  *error = of.error;
  return result;
}

enum head_result head_scan_response(struct head_scan *s, const char *bytes, size_t count,
                                    const struct parser_limits *limits, size_t *length, enum error *error) {
  struct scanning of = {bytes, count, limits, false, ERROR_NONE};
  enum head_result result = scan(s, &of);
  *length = s->scanned;
  *error = result == HEAD_BAD ? ERROR_BAD_RESPONSE : ERROR_NONE;
  return result;
}
