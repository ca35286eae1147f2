// SPDX-License-Identifier: Apache-2.0
// line: request line and status line.
#include "http/line.h"

#include "base/why.h"
#include "http/grammar.h"

static enum error other_version(struct str version, unsigned char *minor, const char **why);

static inline enum error version_parse(struct str version, unsigned char *minor, const char **why) {
  if (str_equal(version, STR("HTTP/1.1"))) {
    *minor = 1;
    return ERROR_NONE;
  }
  return other_version(version, minor, why);
}

/* What stands before the first space. Is it all of the class? */
static inline bool is_word(struct str line, enum grammar_class class, struct str *word) {
  size_t end = 0;
  while (end < line.len && grammar_is(line.ptr[end], class)) end++;
  bool is_all = end == line.len || line.ptr[end] == ' ';
  *word = (struct str){line.ptr, is_all ? end : str_find(line, ' ')};
  return is_all;
}

enum error request_line_parse(struct str line, size_t target_bytes, struct request_line *parts,
                              const char **why) {
  *parts = (struct request_line){0};
  bool is_token = is_word(line, CLASS_TOKEN, &parts->method);
  if (!is_token || !parts->method.len) return why_error(why, ERROR_BAD_REQUEST, "the method is not a token");
  if (parts->method.len > METHOD_BYTES)
    return why_error(why, ERROR_METHOD_TOO_LONG, "the method is longer than any known");
  struct str rest = str_from(line, parts->method.len + 1);
  bool is_target = is_word(rest, CLASS_TARGET, &parts->target);
  if (parts->target.len == rest.len)
    return why_error(why, ERROR_BAD_REQUEST, "the request line has no version");
  if (parts->target.len > target_bytes)
    return why_error(why, ERROR_TARGET_TOO_LONG, "the request target is longer than allowed");
  if (!parts->target.len) return why_error(why, ERROR_BAD_REQUEST, "more than one space in the request line");
  if (!is_target) return why_error(why, ERROR_BAD_REQUEST, "invalid character in the target");
  return version_parse(str_from(rest, parts->target.len + 1), &parts->minor, why);
}

/* HTTP-version = HTTP-name "/" DIGIT "." DIGIT, case-sensitive (RFC 9112 section 2.3). */
static bool is_version(struct str s) {
  return s.len == 8 && memcmp(s.ptr, "HTTP/", 5) == 0 && grammar_is_digit(s.ptr[5]) && s.ptr[6] == '.' &&
         grammar_is_digit(s.ptr[7]);
}

static enum error other_version(struct str version, unsigned char *minor, const char **why) {
  if (!is_version(version)) return why_error(why, ERROR_BAD_REQUEST, "malformed HTTP version");
  if (version.ptr[5] != '1')
    return why_error(why, ERROR_VERSION_UNSUPPORTED, "only HTTP/1.0 and HTTP/1.1 are served");
  *minor = version.ptr[7] > '0';
  return ERROR_NONE;
}

/* The space behind the status is required even if no reason follows, yet origins are seen that leave it out;
 * nothing is in doubt then. */
bool status_line_parse(struct str line, unsigned most, struct status_line *parts, const char **why) {
  enum { VERSION_BYTES = 8, STATUS_AT = 9, STATUS_END = STATUS_LINE_REASON - 1 };
  *parts = (struct status_line){0};
  *why = "malformed status line";
  if (line.len < STATUS_END || line.ptr[VERSION_BYTES] != ' ') return false;
  if (line.len > STATUS_END && line.ptr[STATUS_END] != ' ') return false;
  if (version_parse((struct str){line.ptr, VERSION_BYTES}, &parts->minor, why) != ERROR_NONE) return false;
  *why = "invalid status";
  const char *digits = line.ptr + STATUS_AT;
  if (!grammar_is_digit(digits[0]) || !grammar_is_digit(digits[1]) || !grammar_is_digit(digits[2]))
    return false;
  parts->status = (unsigned short)((digits[0] - '0') * 100 + (digits[1] - '0') * 10 + (digits[2] - '0'));
  if (parts->status < 100 || parts->status > most) return false;
  parts->reason = str_from(line, STATUS_LINE_REASON);
  if (parts->reason.len && !grammar_is_text(parts->reason)) return false;
  *why = NULL;
  return true;
}
