// SPDX-License-Identifier: Apache-2.0
// str: comparison, search and splitting of text slices. No allocation but in str_to_cstring.
#include "base/str.h"

#include "base/memory.h"

/* Mostly not even the case differs. */
bool str_same_nocase(const char *a, const char *b, size_t length) {
  if (length == 0 || memcmp(a, b, length) == 0) return true;
  for (size_t i = 0; i < length; i++)
    if (a[i] != b[i] && ascii_lower(a[i]) != ascii_lower(b[i])) return false;
  return true;
}

bool str_to_text(struct str s, char *text, size_t room) {
  if (s.len >= room || (s.len && memchr(s.ptr, '\0', s.len))) return false;
  if (s.len) memcpy(text, s.ptr, s.len);
  text[s.len] = '\0';
  return true;
}

int str_compare(struct str a, struct str b) {
  size_t shorter = a.len < b.len ? a.len : b.len;
  int order = shorter ? memcmp(a.ptr, b.ptr, shorter) : 0;
  return order ? order : (a.len > b.len) - (a.len < b.len);
}

bool str_starts_with(struct str s, struct str prefix) {
  return s.len >= prefix.len && str_equal((struct str){s.ptr, prefix.len}, prefix);
}

bool str_starts_with_nocase(struct str s, struct str prefix) {
  return s.len >= prefix.len && str_same_nocase(s.ptr, prefix.ptr, prefix.len);
}

bool str_take_nocase(struct str *rest, struct str prefix) {
  if (!str_starts_with_nocase(*rest, prefix)) return false;
  *rest = str_from(*rest, prefix.len);
  return true;
}

size_t str_find(struct str s, char c) {
  const char *at = s.len ? memchr(s.ptr, c, s.len) : NULL;
  return at ? (size_t)(at - s.ptr) : s.len;
}

static bool is_ows(char c) { return c == ' ' || c == '\t'; }

struct str str_trim(struct str s) {
  while (s.len && is_ows(s.ptr[0])) s.ptr++, s.len--;
  while (s.len && is_ows(s.ptr[s.len - 1])) s.len--;
  return s;
}

struct str str_from(struct str s, size_t from) {
  if (from > s.len) from = s.len;
  return (struct str){s.ptr + from, s.len - from};
}

bool str_split(struct str *rest, char separator, struct str *part) {
  if (!rest->ptr) return false;
  size_t at = str_find(*rest, separator);
  *part = (struct str){rest->ptr, at};
  *rest = at == rest->len ? (struct str){NULL, 0} : str_from(*rest, at + 1);
  return true;
}

bool str_to_u64(struct str s, uint64_t *value) {
  uint64_t sum = 0;
  if (s.len == 0) return false;
  for (size_t i = 0; i < s.len; i++) {
    unsigned digit = (unsigned)s.ptr[i] - '0';
    if (digit > 9) return false;
    if (__builtin_mul_overflow(sum, 10, &sum) || __builtin_add_overflow(sum, digit, &sum)) return false;
  }
  *value = sum;
  return true;
}

char *str_to_cstring(struct str s) {
  char *copy = memory_alloc(s.len + 1);
  if (s.len) memcpy(copy, s.ptr, s.len);
  copy[s.len] = '\0';
  return copy;
}

/* Where to cut what has room for `most` bytes: behind the last word of these, if not much is lost by that. */
static size_t cut_at(struct str s, size_t most) {
  enum { NEAR = 32 };
  size_t at = most;
  while (at > 0 && most - at < NEAR && s.ptr[at] != ' ') at--;
  if (at > 0 && s.ptr[at] == ' ') return at;
  at = most;
  while (at > 0 && ((unsigned char)s.ptr[at] & 0xc0) == 0x80) at--;
  return at;
}

void str_fit(char *room, size_t size, struct str s) {
  static const char mark[] = "...";
  bool is_cut = s.len >= size;
  size_t length = is_cut ? cut_at(s, size - sizeof mark) : s.len;
  if (length) memmove(room, s.ptr, length);
  if (is_cut)
    memcpy(room + length, mark, sizeof mark);
  else
    room[length] = '\0';
}
