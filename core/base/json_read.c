// SPDX-License-Identifier: Apache-2.0
// json_read: see json_read.h. No function calls itself: the depth of what is read is that of its caller.
#include "base/json_read.h"

#include "base/arena.h"
#include "base/hex.h"

#define WHOLE_MOST ((uint64_t)1 << 53)

static void skip_space(struct json_reader *r) {
  while (r->rest.len && memchr(" \t\r\n", r->rest.ptr[0], 4)) r->rest = str_from(r->rest, 1);
}

/* 0: the text is at its end, or bad. */
static char peek(struct json_reader *r) {
  skip_space(r);
  return r->rest.len && !r->is_bad ? r->rest.ptr[0] : '\0';
}

static void expect(struct json_reader *r, char wanted) {
  if (peek(r) == wanted)
    r->rest = str_from(r->rest, 1);
  else
    r->is_bad = true;
}

void json_read_open(struct json_reader *r, char bracket) {
  expect(r, bracket);
  r->is_first = true;
}

/* The comma before the next value of an object or array, or what closes it. */
static bool go_on(struct json_reader *r, char closing) {
  char next = peek(r);
  bool was_first = r->is_first;
  r->is_first = false;
  if (next == closing) {
    expect(r, closing);
    return false;
  }
  if (!was_first) expect(r, ',');
  return !r->is_bad;
}

bool json_read_member(struct json_reader *r, struct str *name) {
  if (!go_on(r, '}')) return false;
  *name = json_read_text(r);
  expect(r, ':');
  return !r->is_bad;
}

bool json_read_more(struct json_reader *r) { return go_on(r, ']') && peek(r); }

bool json_read_is_done(struct json_reader *r) {
  skip_space(r);
  return !r->is_bad && !r->rest.len;
}

/* --- values ----------------------------------------------------------------------------------------------- */

/* Where the text in quotes at the front ends: at its closing quote; or the length of what there is. */
static size_t end_of_text(struct str rest) {
  size_t at = 1;
  while (at < rest.len && rest.ptr[at] != '"' && (unsigned char)rest.ptr[at] >= ' ')
    at += rest.ptr[at] == '\\' ? 2 : 1;
  return at < rest.len && rest.ptr[at] == '"' ? at : rest.len;
}

static bool read_unit(struct str *escaped, unsigned *unit) {
  *unit = 0;
  if (escaped->len < 4) return false;
  for (unsigned i = 0; i < 4; i++) {
    int value = hex_value(escaped->ptr[i]);
    if (value < 0) return false;
    *unit = *unit << 4 | (unsigned)value;
  }
  *escaped = str_from(*escaped, 4);
  return true;
}

/* Behind "\u": one or two units of UTF-16 (RFC 8259 section 7). */
static bool read_code(struct str *escaped, unsigned *code) {
  unsigned low;
  if (!read_unit(escaped, code) || (*code & 0xfc00) == 0xdc00) return false;
  if ((*code & 0xfc00) != 0xd800) return true;
  if (!str_starts_with(*escaped, STR("\\u"))) return false;
  *escaped = str_from(*escaped, 2);
  if (!read_unit(escaped, &low) || (low & 0xfc00) != 0xdc00) return false;
  *code = 0x10000 + ((*code & 0x3ff) << 10 | (low & 0x3ff));
  return true;
}

static char *put_utf8(char *to, unsigned code) {
  unsigned more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  static const unsigned char lead[] = {0, 0xc0, 0xe0, 0xf0};
  *to++ = (char)(lead[more] | code >> 6 * more);
  while (more--) *to++ = (char)(0x80 | (code >> 6 * more & 0x3f));
  return to;
}

/* The backslash is read. */
static bool unescape(struct str *escaped, char **to) {
  static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
  unsigned code;
  char letter = escaped->len ? escaped->ptr[0] : '\0';
  const char *at = letter ? strchr(letters, letter) : NULL;
  *escaped = str_from(*escaped, 1);
  if (at) {
    *(*to)++ = meant[at - letters];
    return true;
  }
  if (letter != 'u' || !read_code(escaped, &code)) return false;
  *to = put_utf8(*to, code);
  return true;
}

struct str json_read_text(struct json_reader *r) {
  const struct str none = STR("");
  size_t end = peek(r) == '"' ? end_of_text(r->rest) : r->rest.len;
  r->is_bad |= end == r->rest.len;
  if (r->is_bad) return none;
  struct str inside = {r->rest.ptr + 1, end - 1};
  r->rest = str_from(r->rest, end + 1);
  if (str_find(inside, '\\') == inside.len) return inside;
  char *text = arena_alloc(r->arena, inside.len), *to = text;
  while (inside.len && !r->is_bad) {
    char c = inside.ptr[0];
    inside = str_from(inside, 1);
    if (c != '\\')
      *to++ = c;
    else
      r->is_bad |= !unescape(&inside, &to);
  }
  return r->is_bad ? none : (struct str){text, (size_t)(to - text)};
}

static struct str take_word(struct json_reader *r) {
  size_t length = 0;
  while (length < r->rest.len && !memchr(",]} \t\r\n", r->rest.ptr[length], 7)) length++;
  struct str word = {r->rest.ptr, length};
  r->rest = str_from(r->rest, length);
  return word;
}

uint64_t json_read_whole(struct json_reader *r) {
  uint64_t number = 0;
  r->is_bad |= !peek(r);
  r->is_bad |= !r->is_bad && (!str_to_u64(take_word(r), &number) || number > WHOLE_MOST);
  return r->is_bad ? 0 : number;
}

void json_read_skip(struct json_reader *r) {
  size_t depth = 0;
  do {
    char next = peek(r);
    bool opens = next == '{' || next == '[', closes = next == '}' || next == ']';
    if (!next || (closes && !depth)) r->is_bad = true;
    if (next == '"')
      json_read_text(r);
    else if (opens || closes || next == ',' || next == ':')
      r->rest = str_from(r->rest, 1);
    else
      r->is_bad |= !take_word(r).len;
    depth = depth + opens - closes;
  } while (depth && !r->is_bad);
  r->is_first = false;
}
