// SPDX-License-Identifier: Apache-2.0
// etag: a tag may contain a comma but no escapes, so lists of tags have a parser of their own.
#include "http/etag.h"

#include "http/members.h"

/* etagc: visible, or obs-text; no space and no quote. */
static bool is_tag_byte(char c) {
  unsigned char byte = (unsigned char)c;
  return byte > 0x20 && byte != '"' && byte != 0x7f;
}

bool etag_take(struct str *rest, struct etag *tag) {
  struct str s = *rest;
  tag->is_weak = s.len > 1 && s.ptr[0] == 'W' && s.ptr[1] == '/';
  if (tag->is_weak) s = str_from(s, 2);
  tag->opaque = (struct str){0};
  if (!s.len || s.ptr[0] != '"') return false;
  size_t length = 1;
  while (length < s.len && is_tag_byte(s.ptr[length])) length++;
  if (length == s.len || s.ptr[length] != '"') return false;
  tag->opaque = (struct str){s.ptr, length + 1};
  *rest = str_from(s, length + 1);
  return true;
}

struct etag etag_of(const struct headers *h) {
  struct str value = field_alone(h, STR("ETag"));
  struct etag tag;
  return etag_take(&value, &tag) && !value.len ? tag : (struct etag){0};
}

bool etag_equal(struct etag a, struct etag b, bool is_strong) {
  if (!a.opaque.len || (is_strong && (a.is_weak || b.is_weak))) return false;
  return str_equal(a.opaque, b.opaque);
}

static bool is_in(struct str list, struct etag tag, bool is_strong) {
  struct etag other;
  while (list.len) {
    while (list.len && (list.ptr[0] == ',' || list.ptr[0] == ' ' || list.ptr[0] == '\t'))
      list = str_from(list, 1);
    bool is_tag = etag_take(&list, &other);
    struct str behind = {list.ptr, str_find(list, ',')};
    if (is_tag && !str_trim(behind).len && etag_equal(tag, other, is_strong)) return true;
    list = str_from(list, behind.len);
  }
  return false;
}

bool etag_is_listed(const struct headers *h, struct str name, struct etag tag, bool is_strong) {
  unsigned at = 0;
  for (const struct field *field; (field = headers_next(h, name, &at));)
    if (str_equal(field->value, STR("*")) || is_in(field->value, tag, is_strong)) return true;
  return false;
}
