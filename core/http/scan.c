// SPDX-License-Identifier: Apache-2.0
// scan: looks for the end of a head while it arrives. The hard problem is to be strict, early and linear at
// the same time: each byte is examined once, however the head is cut into pieces, and the result does not depend
// on the pieces. So bytes beyond a limit are never examined, even if they have arrived already.
#include "http/grammar.h"
#include "http/lenient.h"
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

static enum head_result take_first_line(struct head_scan *s, struct scanning *of, struct str line);

static enum head_result bad(struct scanning *of, enum error error) {
  of->error = error;
  return HEAD_BAD;
}

static enum head_result malformed(struct head_scan *s, struct scanning *of, const char *why) {
  s->why = why;
  return bad(of, ERROR_BAD_REQUEST);
}

static enum head_result bad_control(struct head_scan *s, struct scanning *of, size_t at) {
  bool ends_line = of->bytes[at] == '\r' || of->bytes[at] == '\n';
  s->scanned = at;
  return malformed(s, of, ends_line ? "CR or LF alone" : "a control character");
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

/* How many bytes the end of a line has that begins at `at`: CRLF, or, where that is taken, LF alone; 0: it is none. */
static inline size_t line_end(const struct scanning *of, size_t at) {
  if (of->bytes[at] == '\r') return of->bytes[at + 1] == '\n' ? 2 : 0;
  return of->bytes[at] == '\n' && !of->is_request && of->limits->lenient & LENIENT_BARE_LF;
}

/* HEAD_MORE and not in_fields: it is not whole. */
static enum head_result scan_first_line(struct head_scan *s, struct scanning *of) {
  while (!s->in_fields) {
    size_t limit = limit_of(s, of), end = of->count < limit ? of->count : limit;
    size_t at = s->scanned = grammar_find_control(of->bytes, s->scanned, end, of->is_request);
    if (at == end || (at + 1 == end && of->bytes[at] == '\r'))
      return of->count > limit ? over_limit(s, of) : HEAD_MORE;
    if (of->bytes[at] == '\t' && !of->is_request) {
      s->scanned++;
      continue;
    }
    size_t ending = line_end(of, at);
    if (!ending) return bad_control(s, of, at);
    struct str line = {of->bytes + s->line_start, at - s->line_start};
    s->scanned = s->line_start = at + ending;
    enum head_result result = take_first_line(s, of, line);
    if (result != HEAD_MORE) return result;
  }
  return HEAD_MORE;
}

/* Control characters in [next, end), one after another, with a look at each block of bytes. */
struct search {
  const char *bytes;
  size_t block, next, end;
  uint64_t found; /* of the block that begins at `block`; those that were not told yet */
};

/* Of less than a block. */
static __attribute__((noinline)) uint64_t controls_in_rest(const char *bytes, size_t count) {
  char block[GRAMMAR_BLOCK];
  memset(block, ' ', sizeof block);
  memcpy(block, bytes, count);
  return grammar_controls_in(block, false);
}

/* `end` where there is none. */
static inline size_t next_control(struct search *search) {
  while (!search->found) {
    size_t left = search->end - search->next;
    search->block = search->next;
    if (left >= GRAMMAR_BLOCK) {
      search->found = grammar_controls_in(search->bytes + search->block, false);
      search->next += GRAMMAR_BLOCK;
    } else if (left) {
      search->found = controls_in_rest(search->bytes + search->block, left);
      search->next = search->end;
    } else {
      return search->end;
    }
  }
  size_t at = search->block + grammar_first_of(search->found);
  search->found &= search->found - 1;
  return at;
}

static bool takes_folds(const struct scanning *of) {
  return !of->is_request && of->limits->lenient & LENIENT_OBS_FOLD;
}

/* A line that begins with white space would continue the one before it, which is obsolete and refused (RFC
 * 9112 sections 2.2 and 5.2). */
static enum head_result scan_fields(struct head_scan *s, struct scanning *of) {
  const char *bytes = of->bytes;
  size_t limit = of->limits->head_bytes, end = of->count < limit ? of->count : limit, at,
         line = s->line_start;
  struct search search = {.bytes = bytes, .next = s->scanned, .end = end};
  while ((at = next_control(&search)) < end && (bytes[at] != '\r' || at + 1 < end)) {
    if (bytes[at] == '\t' || at < line) continue; /* or the LF of the line before, in the next block */
    size_t ending = line_end(of, at);
    if (!ending) return bad_control(s, of, at);
    if (ending == 2 && search.found) search.found &= search.found - 1; /* its LF */
    s->scanned = at + ending;
    if (at == line) return HEAD_WHOLE;
    if (grammar_is_space(bytes[line]) && !takes_folds(of))
      return malformed(s, of, "a line begins with white space");
    line = at + ending;
  }
  s->line_start = line;
  s->scanned = at;
  return of->count > limit ? over_limit(s, of) : HEAD_MORE;
}

static enum head_result scan(struct head_scan *s, struct scanning *of) {
  enum head_result result = s->in_fields ? HEAD_MORE : scan_first_line(s, of);
  return result == HEAD_MORE && s->in_fields ? scan_fields(s, of) : result;
}

static enum head_result take_request_line(struct head_scan *s, struct scanning *of, struct str line) {
  struct request_line parts;
  enum error error = request_line_parse(line, of->limits->target_bytes, &parts, &s->why);
  if (error != ERROR_NONE) {
    if (error != ERROR_BAD_REQUEST) s->why = NULL;
    return bad(of, error);
  }
  s->line.method = (unsigned char)parts.method.len;
  s->line.target = parts.target.len;
  s->line.minor = parts.minor;
  return HEAD_MORE;
}

static enum head_result take_status_line(struct head_scan *s, struct scanning *of, struct str line) {
  struct status_line parts;
  if (!status_line_parse(line, lenient_status_most(of->limits->lenient), &parts, &s->why))
    return bad(of, ERROR_BAD_RESPONSE);
  s->line.status = parts.status;
  s->line.minor = parts.minor;
  return HEAD_MORE;
}

/* HEAD_MORE: go on with the next line. */
static enum head_result take_first_line(struct head_scan *s, struct scanning *of, struct str line) {
  if (line.len == 0 && of->is_request) {
    s->skipped = s->scanned;
    return HEAD_MORE;
  }
  s->in_fields = true;
  s->line.bytes = s->scanned - s->skipped;
  return of->is_request ? take_request_line(s, of, line) : take_status_line(s, of, line);
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
