// SPDX-License-Identifier: Apache-2.0
// chunked: a state machine over the size lines, byte by byte, and block moves over the data. The one hard
// problem is to hold no buffer: payload slides together at the front of the caller's bytes, and a trailer
// section, which must be whole to be used, stays where it is until it is.
#include "http/chunked.h"

#include "base/hex.h"
#include "http/grammar.h"

static enum chunked_state size_byte(struct chunked *c, char byte);
static enum chunked_state extension_byte(const struct chunked *c, char byte);
static enum chunked_state size_line_end(struct chunked *c, char byte);
static size_t take_data(struct chunked *c, char *to, const char *from, size_t count);
static size_t take_trailers(struct chunked *c, const char *bytes, size_t count);

/* One byte of what stands around the data. */
static enum chunked_state frame_byte(struct chunked *c, char byte) {
  switch (c->state) {
  case CHUNKED_SIZE: return size_byte(c, byte);
  case CHUNKED_SEMICOLON:
  case CHUNKED_NAME_START:
  case CHUNKED_NAME:
  case CHUNKED_EQUALS:
  case CHUNKED_VALUE_START:
  case CHUNKED_VALUE:
  case CHUNKED_QUOTED:
  case CHUNKED_ESCAPED:
  case CHUNKED_VALUE_END: return ++c->line_bytes > CHUNKED_LINE_BYTES ? CHUNKED_BAD : extension_byte(c, byte);
  case CHUNKED_SIZE_LF: return size_line_end(c, byte);
  case CHUNKED_DATA_CR: return byte == '\r' ? CHUNKED_DATA_LF : CHUNKED_BAD;
  case CHUNKED_DATA_LF: return byte == '\n' ? CHUNKED_SIZE : CHUNKED_BAD;
  case CHUNKED_DATA:
  case CHUNKED_TRAILER:
  case CHUNKED_DONE:
  case CHUNKED_BAD: break;
  }
  return CHUNKED_BAD;
}

size_t chunked_decode(struct chunked *c, char *bytes, size_t count, size_t *payload, struct str *trailers) {
  size_t used = 0;
  *payload = 0;
  if (trailers) *trailers = (struct str){0};
  while (used < count && c->state < CHUNKED_TRAILER) {
    if (c->state == CHUNKED_DATA) {
      size_t taken = take_data(c, bytes + *payload, bytes + used, count - used);
      *payload += taken;
      used += taken;
    } else {
      c->state = frame_byte(c, bytes[used++]);
    }
  }
  if (c->state != CHUNKED_TRAILER) return used;
  size_t section = take_trailers(c, bytes + used, count - used);
  if (trailers && section > 2) *trailers = (struct str){bytes + used, section};
  return used + section;
}

static size_t take_data(struct chunked *c, char *to, const char *from, size_t count) {
  if (count > c->left) count = (size_t)c->left;
  if (to != from) memmove(to, from, count);
  c->left -= count;
  if (c->left == 0) c->state = CHUNKED_DATA_CR;
  return count;
}

/* chunk-size = 1*HEXDIG, leading zeros included. Below 2^63, so that nobody's sum of sizes wraps. */
static enum chunked_state size_byte(struct chunked *c, char byte) {
  if (grammar_is(byte, CLASS_HEX)) {
    if (c->left > INT64_MAX >> 4 || ++c->line_bytes > CHUNKED_LINE_BYTES) return CHUNKED_BAD;
    c->left = c->left << 4 | (unsigned)hex_value(byte);
    return CHUNKED_SIZE;
  }
  if (c->line_bytes == 0) return CHUNKED_BAD;
  if (byte == ';') return CHUNKED_NAME_START;
  if (byte == '\r') return CHUNKED_SIZE_LF;
  return grammar_is_space(byte) ? CHUNKED_SEMICOLON : CHUNKED_BAD;
}

static bool is_quotable(char byte) { return byte == '\t' || ((unsigned char)byte >= 0x20 && byte != 0x7f); }

/* What ends an extension, at a point where one may end. */
static enum chunked_state extension_end(char byte) {
  if (byte == ';') return CHUNKED_NAME_START;
  return byte == '\r' ? CHUNKED_SIZE_LF : CHUNKED_BAD;
}

/* chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] ) (RFC 9112 section 7.1.1). So
 * white space is never the last thing on the line, unless it pads a size. */
static enum chunked_state extension_byte(const struct chunked *c, char byte) {
  enum chunked_state state = c->state;
  bool token = grammar_is(byte, CLASS_TOKEN), space = grammar_is_space(byte);
  switch (state) {
  case CHUNKED_SEMICOLON:
    if (space) return state;
    if (c->takes_padding && byte == '\r') return CHUNKED_SIZE_LF;
    return byte == ';' ? CHUNKED_NAME_START : CHUNKED_BAD;
  case CHUNKED_NAME_START:
    if (space) return state;
    return token ? CHUNKED_NAME : CHUNKED_BAD;
  case CHUNKED_NAME:
    if (token) return state;
    if (space) return CHUNKED_EQUALS;
    return byte == '=' ? CHUNKED_VALUE_START : extension_end(byte);
  case CHUNKED_EQUALS:
    if (space) return state;
    if (byte == '=') return CHUNKED_VALUE_START;
    return byte == ';' ? CHUNKED_NAME_START : CHUNKED_BAD;
  case CHUNKED_VALUE_START:
    if (space) return state;
    if (byte == '"') return CHUNKED_QUOTED;
    return token ? CHUNKED_VALUE : CHUNKED_BAD;
  case CHUNKED_VALUE:
    if (token) return state;
    return space ? CHUNKED_SEMICOLON : extension_end(byte);
  case CHUNKED_QUOTED:
    if (byte == '"') return CHUNKED_VALUE_END;
    if (byte == '\\') return CHUNKED_ESCAPED;
    return is_quotable(byte) ? state : CHUNKED_BAD;
  case CHUNKED_ESCAPED: return is_quotable(byte) ? CHUNKED_QUOTED : CHUNKED_BAD;
  case CHUNKED_VALUE_END: return space ? CHUNKED_SEMICOLON : extension_end(byte);
  case CHUNKED_SIZE:
  case CHUNKED_SIZE_LF:
  case CHUNKED_DATA:
  case CHUNKED_DATA_CR:
  case CHUNKED_DATA_LF:
  case CHUNKED_TRAILER:
  case CHUNKED_DONE:
  case CHUNKED_BAD: break;
  }
  return CHUNKED_BAD;
}

/* A body may spend on size lines what its data justifies, and a little more: otherwise single bytes with long
 * extensions would cost us far more than they carry. */
static enum chunked_state size_line_end(struct chunked *c, char byte) {
  enum { FREE_BYTES = 32 };
  if (byte != '\n') return CHUNKED_BAD;
  size_t justified = FREE_BYTES + (c->left > CHUNKED_LINE_BYTES ? CHUNKED_LINE_BYTES : (size_t)c->left);
  c->overhead += c->line_bytes;
  c->overhead -= c->overhead < justified ? c->overhead : justified;
  c->line_bytes = 0;
  if (c->overhead > CHUNKED_OVERHEAD_BYTES) return CHUNKED_BAD;
  return c->left > 0 ? CHUNKED_DATA : CHUNKED_TRAILER;
}

static size_t bad_trailers(struct chunked *c) {
  c->state = CHUNKED_BAD;
  return 0;
}

/* Field lines of a whole section: each begins with a token and ":". So none continues the line before
 * (obs-fold). */
static bool are_fields(struct str lines) {
  while (lines.len) {
    size_t colon = str_find(lines, ':');
    if (!grammar_is_all((struct str){lines.ptr, colon}, CLASS_TOKEN)) return false;
    lines = str_from(lines, str_find(lines, '\n') + 1);
  }
  return true;
}

/* Bytes that the whole section takes, 0 as long as it is not whole. `bytes` begins where the section does. */
static size_t take_trailers(struct chunked *c, const char *bytes, size_t count) {
  size_t end = count < CHUNKED_TRAILER_BYTES ? count : CHUNKED_TRAILER_BYTES, at = c->trailer_bytes;
  for (;; at++) {
    at = grammar_find_control(bytes, at, end, false);
    if (at == end || (bytes[at] == '\r' && at + 1 == end)) break;
    if (bytes[at] == '\t') continue;
    if (bytes[at] != '\r' || bytes[at + 1] != '\n') return bad_trailers(c);
    if (at == 0 || bytes[at - 1] == '\n') {
      c->state = are_fields((struct str){bytes, at}) ? CHUNKED_DONE : CHUNKED_BAD;
      return at + 2;
    }
    at++; /* the LF is part of the line's end */
  }
  c->trailer_bytes = at;
  return count > CHUNKED_TRAILER_BYTES ? bad_trailers(c) : 0;
}

char *chunked_head(char *end, size_t length) {
  *--end = '\n';
  *--end = '\r';
  do *--end = hex_lower[length & 15];
  while (length >>= 4);
  return end;
}
