// SPDX-License-Identifier: Apache-2.0
// line: request line and status line.
#include "http/line.h"

#include "http/grammar.h"

static enum error version_parse(struct str version, unsigned char *minor, const char **why);

static enum error bad_line(const char **why, const char *sentence) {
  *why = sentence;
  return ERROR_BAD_REQUEST;
}

enum error request_line_parse(struct str line, size_t target_bytes, struct request_line *parts,
                              const char **why) {
  *parts = (struct request_line){0};
  size_t space = str_find(line, ' ');
  parts->method = (struct str){line.ptr, space};
  if (!grammar_is_all(parts->method, CLASS_TOKEN)) return bad_line(why, "the method is not a token");
  if (space > METHOD_BYTES) {
    *why = "the method is longer than any known";
    return ERROR_METHOD_TOO_LONG;
  }
  struct str rest = str_from(line, space + 1);
  space = str_find(rest, ' ');
  parts->target = (struct str){rest.ptr, space};
  if (space == rest.len) return bad_line(why, "the request line has no version");
  if (space > target_bytes) {
    *why = "the request target is longer than allowed";
    return ERROR_TARGET_TOO_LONG;
  }
  if (space == 0) return bad_line(why, "more than one space in the request line");
  if (!grammar_is_all(parts->target, CLASS_TARGET)) return bad_line(why, "invalid character in the target");
  return version_parse(str_from(rest, space + 1), &parts->minor, why);
}

/* HTTP-version = HTTP-name "/" DIGIT "." DIGIT, case-sensitive (RFC 9112 section 2.3). */
static bool is_version(struct str s) {
  return s.len == 8 && memcmp(s.ptr, "HTTP/", 5) == 0 && grammar_is_digit(s.ptr[5]) && s.ptr[6] == '.' &&
         grammar_is_digit(s.ptr[7]);
}

static enum error version_parse(struct str version, unsigned char *minor, const char **why) {
  if (!is_version(version)) return bad_line(why, "malformed HTTP version");
  if (version.ptr[5] != '1') {
    *why = "only HTTP/1.0 and HTTP/1.1 are served";
    return ERROR_VERSION_UNSUPPORTED;
  }
  *minor = version.ptr[7] > '0';
  return ERROR_NONE;
}

/* The space behind the status is required even if no reason follows, yet origins are seen that leave it out;
 * nothing is in doubt then. */
bool status_line_parse(struct str line, struct status_line *parts, const char **why) {
  enum { VERSION_BYTES = 8, STATUS_AT = 9, STATUS_END = 12 };
  *parts = (struct status_line){0};
  *why = "malformed status line";
  if (line.len < STATUS_END || line.ptr[VERSION_BYTES] != ' ') return false;
  if (line.len > STATUS_END && line.ptr[STATUS_END] != ' ') return false;
  if (version_parse((struct str){line.ptr, VERSION_BYTES}, &parts->minor, why) != ERROR_NONE) return false;
  *why = "invalid status";
  for (size_t i = STATUS_AT; i < STATUS_END; i++) {
    if (!grammar_is_digit(line.ptr[i])) return false;
    parts->status = (unsigned short)(parts->status * 10 + (line.ptr[i] - '0'));
  }
  if (parts->status < 100 || parts->status > 599) return false;
  parts->reason = str_from(line, STATUS_END + 1);
  if (parts->reason.len && !grammar_is_text(parts->reason)) return false;
  *why = NULL;
  return true;
}
