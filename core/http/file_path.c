// SPDX-License-Identifier: Apache-2.0
// file_path: see file_path.h. Parts are looked at once they are decoded, so no encoding gets past the checks.
#include "http/file_path.h"

#include "base/hex.h"

/* The next byte of the target, decoded; -1: there can be none. */
static int take(struct str *rest) {
  unsigned char c = (unsigned char)rest->ptr[0];
  *rest = str_from(*rest, 1);
  if (c != '%') return c ? c : -1;
  int byte = rest->len >= 2 ? hex_byte_of(rest->ptr) : -1;
  if (byte <= 0 || byte == '/') return -1;
  *rest = str_from(*rest, 2);
  return byte;
}

/* "." is left out, as a URL means it; ".." is refused: clients resolve it themselves. */
static bool end_part(struct file_path *path, char *text, size_t start, size_t *length) {
  struct str part = {text + start, *length - start};
  if (str_equal(part, STR(".."))) return false;
  if (str_equal(part, STR("."))) *length = start;
  path->is_hidden |= *length > start && part.ptr[0] == '.';
  return true;
}

bool file_path_read(struct str target, struct arena *arena, struct file_path *path) {
  struct str rest = {target.ptr, str_find(target, '?')};
  *path = (struct file_path){.is_folder = true};
  if (rest.len > FILE_PATH_MOST || !rest.len || rest.ptr[0] != '/') return false;
  char *text = arena_alloc(arena, rest.len + 1);
  size_t length = 0, start = 0;
  while (rest.len) {
    if (rest.ptr[0] != '/') {
      int byte = take(&rest);
      if (byte < 0) return false;
      text[length++] = (char)byte;
      continue;
    }
    rest = str_from(rest, 1);
    if (!end_part(path, text, start, &length)) return false;
    if (length > start) text[length++] = '/';
    start = length;
  }
  if (!end_part(path, text, start, &length)) return false;
  text[length] = '\0';
  path->path = (struct str){text, length};
  path->is_folder = length == start;
  return true;
}

static bool is_plain(char c) {
  bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  return is_letter || (c && strchr("-._~!$&'()*+,;=:@/", c));
}

struct str file_path_reference(struct str path, struct arena *arena) {
  char *text = arena_alloc(arena, path.len * HEX_PERCENT_BYTES + 1), *end = text;
  *end++ = '/';
  for (size_t i = 0; i < path.len; i++) {
    if (is_plain(path.ptr[i]))
      *end++ = path.ptr[i];
    else
      end += hex_put_percent(end, path.ptr[i]);
  }
  return (struct str){text, (size_t)(end - text)};
}
