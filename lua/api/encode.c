// SPDX-License-Identifier: Apache-2.0
// encode: base64, hexadecimal and percent-encoding. Decoding is strict: if two texts mean the same, only the
// canonical one is accepted, since signatures and caches compare texts.
#include <lauxlib.h>
#include <lua.h>

#include "base/memory.h"
#include "lua/vm/nouns.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"

static const char plain_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
static const char hex_digits[] = "0123456789abcdef";
static const char upper_hex_digits[] = "0123456789ABCDEF";

/* Room for the result; it belongs to the vm, so that raising loses nothing. */
static unsigned char *room(lua_State *L, size_t bytes) {
  struct buf *scratch = &vm_of(L)->scratch;
  buf_consume(scratch, buf_len(scratch));
  buf_reserve(scratch, bytes + 1);
  return (unsigned char *)buf_tail(scratch);
}

/* -0 +1 */
static int push(lua_State *L, const unsigned char *bytes, size_t length) {
  struct buf *scratch = &vm_of(L)->scratch;
  lua_pushlstring(L, (const char *)bytes, length);
  if (scratch->cap > BLOCK_LARGEST) buf_release(scratch);
  return 1;
}

/* -0 +2 */
static int refuse(lua_State *L, const char *why) {
  lua_pushnil(L);
  lua_pushstring(L, why);
  return 2;
}

/* -0 +0 */
static struct str check_text(lua_State *L) {
  struct str text = text_at(L, 1);
  return text;
}

/* --- base64 (RFC 4648). -1 +1 | -1 +2 ------------------------------------------------------------------- */

static size_t encode(unsigned char *out, struct str text, const char *alphabet, bool pads) {
  const unsigned char *in = (const unsigned char *)text.ptr;
  size_t n = 0;
  for (size_t i = 0; i < text.len; i += 3) {
    size_t left = text.len - i;
    unsigned bits =
        (unsigned)in[i] << 16 | (left > 1 ? (unsigned)in[i + 1] << 8 : 0) | (left > 2 ? in[i + 2] : 0);
    out[n++] = (unsigned char)alphabet[bits >> 18];
    out[n++] = (unsigned char)alphabet[bits >> 12 & 63];
    if (left > 1) out[n++] = (unsigned char)alphabet[bits >> 6 & 63];
    if (left > 2) out[n++] = (unsigned char)alphabet[bits & 63];
    for (; left < 3 && pads; left++) out[n++] = '=';
  }
  return n;
}

static int value_of(char c, const char *alphabet) {
  const char *at = c ? memchr(alphabet, c, 64) : NULL;
  return at ? (int)(at - alphabet) : -1;
}

/* Digits without padding. False: another character, an impossible length, or bits that are lost. */
static bool decode(unsigned char *out, size_t *length, struct str text, const char *alphabet) {
  unsigned bits = 0, count = 0;
  size_t n = 0;
  for (size_t i = 0; i < text.len; i++) {
    int value = value_of(text.ptr[i], alphabet);
    if (value < 0) return false;
    bits = bits << 6 | (unsigned)value;
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out[n++] = (unsigned char)(bits >> count);
    bits &= (1u << count) - 1;
  }
  *length = n;
  return text.len % 4 != 1 && bits == 0;
}

static int encode_base64(lua_State *L) {
  struct str text = check_text(L);
  unsigned char *out = room(L, (text.len / 3 + 1) * 4);
  return push(L, out, encode(out, text, plain_alphabet, true));
}

/* Without padding (RFC 7515 section 2). */
static int encode_base64_url(lua_State *L) {
  struct str text = check_text(L);
  unsigned char *out = room(L, (text.len / 3 + 1) * 4);
  return push(L, out, encode(out, text, url_alphabet, false));
}

static int decode_with(lua_State *L, struct str text, const char *alphabet) {
  unsigned char *out = room(L, text.len);
  size_t length;
  if (!decode(out, &length, text, alphabet)) return refuse(L, "this is no base64");
  return push(L, out, length);
}

static int decode_base64(lua_State *L) {
  struct str text = check_text(L);
  if (text.len % 4 != 0) return refuse(L, "this is no base64");
  if (text.len && text.ptr[text.len - 1] == '=') text.len--;
  if (text.len % 4 == 3 && text.ptr[text.len - 1] == '=') text.len--;
  return decode_with(L, text, plain_alphabet);
}

static int decode_base64_url(lua_State *L) { return decode_with(L, check_text(L), url_alphabet); }

/* --- hexadecimal. -1 +1 | -1 +2 ------------------------------------------------------------------------- */

static int encode_hex(lua_State *L) {
  struct str text = check_text(L);
  unsigned char *out = room(L, text.len * 2);
  for (size_t i = 0; i < text.len; i++) {
    out[2 * i] = (unsigned char)hex_digits[(unsigned char)text.ptr[i] >> 4];
    out[2 * i + 1] = (unsigned char)hex_digits[(unsigned char)text.ptr[i] & 15];
  }
  return push(L, out, text.len * 2);
}

static int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = ascii_lower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte of two digits at `at`; -1: they are none. */
static int hex_byte(struct str text, size_t at) {
  if (at + 2 > text.len) return -1;
  int high = hex_value(text.ptr[at]), low = hex_value(text.ptr[at + 1]);
  return high < 0 || low < 0 ? -1 : high << 4 | low;
}

static int decode_hex(lua_State *L) {
  struct str text = check_text(L);
  unsigned char *out = room(L, text.len / 2);
  if (text.len % 2) return refuse(L, "an odd number of hexadecimal digits");
  for (size_t i = 0; i < text.len; i += 2) {
    int byte = hex_byte(text, i);
    if (byte < 0) return refuse(L, "this is not hexadecimal");
    out[i / 2] = (unsigned char)byte;
  }
  return push(L, out, text.len / 2);
}

/* --- percent-encoding (RFC 3986 section 2.1) ------------------------------------------------------------ */

static bool is_unreserved(char c) {
  char lower = ascii_lower(c);
  return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || (c && strchr("-._~", c));
}

/* core.encode_url(text): all but unreserved characters is encoded -1 +1 */
static int encode_url(lua_State *L) {
  struct str text = check_text(L);
  unsigned char *out = room(L, text.len * 3);
  size_t n = 0;
  for (size_t i = 0; i < text.len; i++) {
    unsigned char c = (unsigned char)text.ptr[i];
    if (is_unreserved(text.ptr[i])) {
      out[n++] = c;
      continue;
    }
    out[n++] = '%';
    out[n++] = (unsigned char)upper_hex_digits[c >> 4];
    out[n++] = (unsigned char)upper_hex_digits[c & 15];
  }
  return push(L, out, n);
}

/* core.decode_url(text, form): in forms + is a space, and a % without digits stays as it is -2 +1 | -2 +2 */
static int decode_url(lua_State *L) {
  struct str text = check_text(L);
  bool is_form = lua_toboolean(L, 2);
  unsigned char *out = room(L, text.len);
  size_t n = 0;
  for (size_t i = 0; i < text.len; i++) {
    int byte = text.ptr[i] == '%' ? hex_byte(text, i + 1) : -1;
    if (byte >= 0) {
      out[n++] = (unsigned char)byte;
      i += 2;
    } else if (text.ptr[i] == '%' && !is_form) {
      return refuse(L, "a % without two hexadecimal digits behind it");
    } else {
      out[n++] = is_form && text.ptr[i] == '+' ? ' ' : (unsigned char)text.ptr[i];
    }
  }
  return push(L, out, n);
}

static const luaL_Reg functions[] = {
    {"encode_base64", encode_base64},
    {"encode_base64_url", encode_base64_url},
    {"decode_base64", decode_base64},
    {"decode_base64_url", decode_base64_url},
    {"encode_hex", encode_hex},
    {"decode_hex", decode_hex},
    {"encode_url", encode_url},
    {"decode_url", decode_url},
    {NULL, NULL},
};

void open_encode(lua_State *L) { luaL_register(L, NULL, functions); }
