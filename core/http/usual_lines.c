// SPDX-License-Identifier: Apache-2.0
// usual_lines: each line is a token, a colon right behind it, a value, and CRLF. The hard problem is to take nothing
// that llhttp would refuse or read in another way: so a line is taken only if each of its bytes is looked at, here or
// by the scan before. In sanitizer builds the parser asks llhttp as well, and compares.
#include "http/usual_lines.h"

#include "http/grammar.h"

/* Takes the line at `at`. Where the next one begins; NULL: it is an unusual one. */
static inline const char *take_line(const char *at, const char *end, struct headers *headers) {
  const char *colon = memchr(at, ':', (size_t)(end - at));
  if (!colon) return NULL;
  struct str name = {at, (size_t)(colon - at)}, value = {colon + 1, 0};
  enum field_id id = field_id(name);
  if (id == FIELD_OTHER && !field_name_is_valid(name)) return NULL;
  while (grammar_is_space(*value.ptr)) value.ptr++; /* a CR is behind them */
  const char *line_end = memchr(value.ptr, '\r', (size_t)(end - value.ptr));
  if (!line_end || line_end[1] != '\n') return NULL;
  value.len = (size_t)(line_end - value.ptr);
  while (value.len && grammar_is_space(value.ptr[value.len - 1])) value.len--;
  headers_add_field(headers, name, value, id);
  return line_end + 2;
}

bool usual_lines_read(struct str section, struct headers *headers, unsigned limit) {
  const char *at = section.ptr, *end = at + section.len - 1, *empty_line = end - 1;
  CHECK(section.len >= 2 && empty_line[0] == '\r' && empty_line[1] == '\n');
  while (at && at < empty_line) at = headers->count < limit ? take_line(at, end, headers) : NULL;
  return at == empty_line;
}
