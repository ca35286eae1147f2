// SPDX-License-Identifier: Apache-2.0
// structured: the parsing algorithms of RFC 9651 section 4.2. The work is bounded by the text: each byte is read at
// most twice, once in the first pass and once if parameters or an inner list are read again.
#include "http/structured.h"

#include "http/structured_parts.h"

static bool read_member(struct str *rest, struct structured_value *value);

struct structured structured_begin(struct str text) {
  while (text.len && text.ptr[0] == ' ') text = str_from(text, 1);
  while (text.len && text.ptr[text.len - 1] == ' ') text.len--;
  return (struct structured){.rest = text};
}

static bool fail(struct structured *s) {
  s->failed = true;
  s->rest.len = 0;
  return false;
}

static void skip(struct str *rest, bool also_tabs) {
  while (rest->len && (rest->ptr[0] == ' ' || (also_tabs && rest->ptr[0] == '\t')))
    *rest = str_from(*rest, 1);
}

/* Between members there is one comma, and behind it another member (sections 4.2.1 and 4.2.2). */
static bool to_member(struct structured *s) {
  if (s->failed) return false;
  if (!s->begun) {
    s->begun = true;
    return s->rest.len > 0;
  }
  skip(&s->rest, true);
  if (!s->rest.len) return false;
  if (s->rest.ptr[0] != ',') return fail(s);
  s->rest = str_from(s->rest, 1);
  skip(&s->rest, true);
  return s->rest.len ? true : fail(s);
}

bool structured_next(struct structured *s, struct structured_value *value) {
  if (!to_member(s)) return false;
  return read_member(&s->rest, value) || fail(s);
}

bool structured_next_entry(struct structured *s, struct str *key, struct structured_value *value) {
  if (!to_member(s)) return false;
  if (!structured_take_key(&s->rest, key)) return fail(s);
  if (s->rest.len && s->rest.ptr[0] == '=') {
    s->rest = str_from(s->rest, 1);
    return read_member(&s->rest, value) || fail(s);
  }
  *value = (struct structured_value){.type = STRUCTURED_BOOLEAN, .number = 1};
  return structured_take_parameters(&s->rest, &value->parameters) || fail(s);
}

/* Items of an inner list are split by spaces alone. */
bool structured_next_inner(struct structured *s, struct structured_value *value) {
  if (s->failed || !s->rest.len) return false;
  bool is_apart = !s->begun || s->rest.ptr[0] == ' ';
  skip(&s->rest, false);
  if (!s->rest.len) return false;
  s->begun = true;
  if (!is_apart) return fail(s);
  return (structured_take_bare(&s->rest, value) &&
          structured_take_parameters(&s->rest, &value->parameters)) ||
         fail(s);
}

bool structured_next_parameter(struct structured *s, struct str *key, struct structured_value *value) {
  if (s->failed || !s->rest.len) return false;
  return structured_take_parameter(&s->rest, key, value) || fail(s);
}

bool structured_item(struct str text, struct structured_value *value) {
  struct structured s = structured_begin(text);
  return structured_take_bare(&s.rest, value) && structured_take_parameters(&s.rest, &value->parameters) &&
         !s.rest.len;
}

/* The list is read to its end, so that a mistake in it is one of the field. */
static bool read_inner_list(struct str *rest, struct structured_value *value) {
  struct str inside = str_from(*rest, 1);
  struct structured items = {.rest = inside};
  struct structured_value item;
  for (;;) {
    skip(&items.rest, false);
    if (!items.rest.len) return false;
    if (items.rest.ptr[0] == ')') break;
    if (!structured_take_bare(&items.rest, &item) ||
        !structured_take_parameters(&items.rest, &item.parameters) || !items.rest.len ||
        (items.rest.ptr[0] != ' ' && items.rest.ptr[0] != ')'))
      return false;
  }
  *value = (struct structured_value){.type = STRUCTURED_INNER_LIST,
                                     .text = {inside.ptr, inside.len - items.rest.len}};
  *rest = str_from(items.rest, 1);
  return true;
}

static bool read_member(struct str *rest, struct structured_value *value) {
  bool is_list = rest->len && rest->ptr[0] == '(';
  if (!(is_list ? read_inner_list(rest, value) : structured_take_bare(rest, value))) return false;
  return structured_take_parameters(rest, &value->parameters);
}

struct str structured_text(const struct structured_value *value, struct arena *arena) {
  if (!value->has_escapes) return value->text;
  char *text = arena_alloc(arena, value->text.len), *end = text;
  for (size_t at = 0; at < value->text.len; at++) {
    if (value->text.ptr[at] == '\\') at++;
    *end++ = value->text.ptr[at];
  }
  return (struct str){text, (size_t)(end - text)};
}
