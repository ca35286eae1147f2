// SPDX-License-Identifier: Apache-2.0
// members: list fields by name. Pure functions of text; with any bytes, each call makes progress or ends.
#include "http/members.h"

#include "http/grammar.h"

struct members members_of(const struct headers *h, struct str name) {
  return (struct members){.headers = h, .name = name};
}

/* Takes the next member of one value off the front of `rest`. */
static bool member_take(struct str *rest, struct str *member) {
  while (rest->len) {
    size_t end = member_find(*rest, ",");
    *member = str_trim((struct str){rest->ptr, end});
    *rest = str_from(*rest, end < rest->len ? end + 1 : end);
    if (member->len) return true;
  }
  return false;
}

bool members_next(struct members *m, struct str *member) {
  while (!member_take(&m->rest, member)) {
    const struct field *field = headers_next(m->headers, m->name, &m->at);
    if (!field) return false;
    m->rest = field->value;
  }
  return true;
}

/* Inside of quotes a backslash takes the next byte with it (RFC 9110 section 5.6.4). */
size_t member_find(struct str s, const char *stops) {
  bool is_quoted = false;
  for (size_t at = 0; at < s.len; at++) {
    char c = s.ptr[at];
    if (c == '"')
      is_quoted = !is_quoted;
    else if (is_quoted && c == '\\')
      at++;
    else if (!is_quoted && c && strchr(stops, c))
      return at;
  }
  return s.len;
}

struct str member_token(struct str s) {
  size_t length = 0;
  while (length < s.len && grammar_is(s.ptr[length], CLASS_TOKEN)) length++;
  return (struct str){s.ptr, length};
}

struct str member_unquoted(struct str s) {
  if (s.len < 2 || s.ptr[0] != '"') return s;
  for (size_t at = 1; at < s.len; at++) {
    if (s.ptr[at] == '"') return at + 1 == s.len ? (struct str){s.ptr + 1, s.len - 2} : s;
    if (s.ptr[at] == '\\') at++;
  }
  return s;
}

unsigned field_lines(const struct headers *h, struct str name) {
  unsigned at = 0, lines = 0;
  while (lines < 2 && headers_next(h, name, &at)) lines++;
  return lines;
}

struct str field_alone(const struct headers *h, struct str name) {
  const struct field *field = headers_find(h, name);
  return field && field_lines(h, name) == 1 ? field->value : (struct str){0};
}

struct str field_joined(const struct headers *h, struct str name, struct arena *arena) {
  unsigned at = 0;
  size_t bytes = 0;
  const struct field *field = headers_find(h, name);
  if (!field || field_lines(h, name) == 1) return field ? field->value : (struct str){0};
  while ((field = headers_next(h, name, &at))) bytes += field->value.len + 2;
  char *joined = arena_alloc(arena, bytes), *end = joined;
  for (at = 0; (field = headers_next(h, name, &at));) {
    if (end > joined) end = mempcpy(end, ", ", 2);
    if (field->value.len) end = mempcpy(end, field->value.ptr, field->value.len);
  }
  return (struct str){joined, (size_t)(end - joined)};
}
