// SPDX-License-Identifier: Apache-2.0
// escape: goes byte by byte; most texts need no escapes, so runs of plain bytes are copied at once.
#include "base/escape.h"

#include "base/check.h"
#include "base/hex.h"

/* Bytes of the UTF-8 sequence at the start of `s` (RFC 3629 section 4); 0: it is none. */
static size_t sequence(struct str s) {
  static const struct {
    unsigned char first, last, low, high, bytes;
  } forms[] = {{0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
               {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
               {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4}};
  const unsigned char *p = (const unsigned char *)s.ptr;
  for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
    size_t bytes = forms[i].bytes;
    if (p[0] < forms[i].first || p[0] > forms[i].last || s.len < bytes) continue;
    bool fits = p[1] >= forms[i].low && p[1] <= forms[i].high;
    for (size_t k = 2; k < bytes; k++) fits = fits && (p[k] & 0xc0) == 0x80;
    if (fits) return bytes;
  }
  return 0;
}

/* U+0080 to U+009F steer terminals as control characters do, U+2028 and U+2029 end lines. */
static bool is_control_sequence(struct str text, size_t bytes) {
  const unsigned char *p = (const unsigned char *)text.ptr;
  if (bytes == 2) return p[0] == 0xc2 && p[1] < 0xa0;
  return bytes == 3 && p[0] == 0xe2 && p[1] == 0x80 && (p[2] == 0xa8 || p[2] == 0xa9);
}

/* \u for a character of two or three bytes. */
static size_t put_code(const unsigned char *p, size_t bytes, char piece[8]) {
  unsigned code =
      bytes == 2 ? (p[0] & 31u) << 6 | (p[1] & 63u) : (p[0] & 15u) << 12 | (p[1] & 63u) << 6 | (p[2] & 63u);
  memcpy(piece,
         (char[]){'\\', 'u', hex_lower[code >> 12], hex_lower[code >> 8 & 15], hex_lower[code >> 4 & 15],
                  hex_lower[code & 15]},
         6);
  return 6;
}

/* One piece of `text` as it shall be; returns how many bytes of it that takes. */
static size_t json_piece(struct str text, char piece[8], size_t *length) {
  unsigned char c = (unsigned char)text.ptr[0];
  size_t taken = c < 0x80 ? 1 : sequence(text);
  *length = taken;
  if (c == '"' || c == '\\') {
    memcpy(piece, (char[]){'\\', (char)c}, *length = 2);
  } else if (c < 0x20 || c == 0x7f) {
    memcpy(piece, (char[]){'\\', 'u', '0', '0', hex_lower[c >> 4], hex_lower[c & 15]}, *length = 6);
  } else if (taken == 0) {
    memcpy(piece, "\\ufffd", *length = 6);
    taken = 1;
  } else if (is_control_sequence(text, taken)) {
    *length = put_code((const unsigned char *)text.ptr, taken, piece);
  } else {
    memcpy(piece, text.ptr, taken);
  }
  return taken;
}

static size_t label_piece(struct str text, char piece[8], size_t *length) {
  unsigned char c = (unsigned char)text.ptr[0];
  size_t taken = c < 0x80 ? 1 : sequence(text);
  *length = taken;
  if (c == '"' || c == '\\' || c == '\n') {
    memcpy(piece, (char[]){'\\', c == '\n' ? 'n' : (char)c}, *length = 2);
  } else if (taken == 0) {
    memcpy(piece, "\xef\xbf\xbd", *length = 3);
    taken = 1;
  } else {
    memcpy(piece, text.ptr, taken);
  }
  return taken;
}

static size_t utf8_piece(struct str text, char piece[8], size_t *length) {
  size_t taken = (unsigned char)text.ptr[0] < 0x80 ? 1 : sequence(text);
  if (!taken) {
    memcpy(piece, "\xef\xbf\xbd", *length = 3);
    return 1;
  }
  memcpy(piece, text.ptr, *length = taken);
  return taken;
}

static size_t put_hex(unsigned char c, char piece[8]) {
  memcpy(piece, (char[]){'\\', 'x', hex_lower[c >> 4], hex_lower[c & 15]}, 4);
  return 4;
}

static size_t quoted_piece(struct str text, char piece[8], size_t *length) {
  unsigned char c = (unsigned char)text.ptr[0];
  *length = 1;
  piece[0] = (char)c;
  if (c == '"' || c == '\\')
    memcpy(piece, (char[]){'\\', (char)c}, *length = 2);
  else if (c < 0x20 || c >= 0x7f)
    *length = put_hex(c, piece);
  return 1;
}

static size_t line_piece(struct str text, char piece[8], size_t *length) {
  unsigned char c = (unsigned char)text.ptr[0];
  size_t taken = c < 0x80 ? 1 : sequence(text);
  bool is_plain =
      c < 0x80 ? (c >= 0x20 && c != 0x7f) || c == '\t' : taken && !is_control_sequence(text, taken);
  if (!is_plain) {
    *length = put_hex(c, piece);
    return 1;
  }
  memcpy(piece, text.ptr, taken);
  return *length = taken;
}

static size_t escape(char *to, size_t room, struct str text,
                     size_t (*next)(struct str text, char piece[8], size_t *length)) {
  size_t n = 0;
  while (text.len) {
    char piece[8];
    size_t length, taken = next(text, piece, &length);
    CHECK(taken > 0 && taken <= text.len && length <= sizeof piece);
    if (n + length > room) break;
    memcpy(to + n, piece, length);
    n += length;
    text = str_from(text, taken);
  }
  return n;
}

size_t escape_json(char *to, size_t room, struct str text) { return escape(to, room, text, json_piece); }
size_t escape_label(char *to, size_t room, struct str text) { return escape(to, room, text, label_piece); }
size_t escape_quoted(char *to, size_t room, struct str text) { return escape(to, room, text, quoted_piece); }
size_t escape_utf8(char *to, size_t room, struct str text) { return escape(to, room, text, utf8_piece); }
size_t escape_line(char *to, size_t room, struct str text) { return escape(to, room, text, line_piece); }

void escape_lua(FILE *out, struct str text) {
  for (size_t i = 0; i < text.len; i++) {
    unsigned char c = (unsigned char)text.ptr[i];
    if (c < 0x20 || c == 0x7f)
      fprintf(out, "\\%03u", c);
    else
      fprintf(out, c == '"' || c == '\\' ? "\\%c" : "%c", c);
  }
}
