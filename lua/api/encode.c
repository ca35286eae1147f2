// SPDX-License-Identifier: Apache-2.0
// encode: base64, hexadecimal and percent-encoding. Decoding is strict: if two texts mean the same, only the
// canonical one is accepted, since signatures and caches compare texts.
#include <lauxlib.h>
#include <lua.h>

#include "base/base64.h"
#include "base/hex.h"
#include "base/memory.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"

/* Room for the result; it belongs to the vm, so that raising loses nothing. */
static char *room(lua_State *L, size_t bytes) {
  struct buf *scratch = vm_scratch(L);
  buf_reserve(scratch, bytes + 1);
  return buf_tail(scratch);
}

/* -0 +1 */
static int push(lua_State *L, const char *bytes, size_t length) {
  struct buf *scratch = &vm_of(L)->scratch;
  lua_pushlstring(L, bytes, length);
  if (scratch->cap > BLOCK_LARGEST) buf_release(scratch);
  return 1;
}

/* --- base64 (RFC 4648). -1 +1 | -1 +2 ------------------------------------------------------------------- */

static int encode_base64(lua_State *L) {
  struct str text = text_at(L, 1);
  char *out = room(L, base64_room(text.len));
  return push(L, out, base64_encode(out, text, base64_plain, true));
}

/* Without padding (RFC 7515 section 2). */
static int encode_base64_url(lua_State *L) {
  struct str text = text_at(L, 1);
  char *out = room(L, base64_room(text.len));
  return push(L, out, base64_encode(out, text, base64_url, false));
}

static int decode_with(lua_State *L, struct str text, const char *alphabet) {
  char *out = room(L, text.len);
  size_t length;
  if (!base64_decode(out, &length, text, alphabet)) return push_nil_why(L, "this is no base64");
  return push(L, out, length);
}

static int decode_base64(lua_State *L) {
  struct str text = text_at(L, 1);
  if (!base64_trim(&text)) return push_nil_why(L, "this is no base64");
  return decode_with(L, text, base64_plain);
}

static int decode_base64_url(lua_State *L) { return decode_with(L, text_at(L, 1), base64_url); }

/* --- hexadecimal. -1 +1 | -1 +2 ------------------------------------------------------------------------- */

static int encode_hex(lua_State *L) {
  struct str text = text_at(L, 1);
  char *out = room(L, text.len * 2);
  hex_put_text(out, text);
  return push(L, out, text.len * 2);
}

/* The byte of two digits at `at`; -1: they are none. */
static int hex_byte(struct str text, size_t at) {
  return at + 2 <= text.len ? hex_byte_of(text.ptr + at) : -1;
}

static int decode_hex(lua_State *L) {
  struct str text = text_at(L, 1);
  char *out = room(L, text.len / 2);
  if (text.len % 2) return push_nil_why(L, "an odd number of hexadecimal digits");
  for (size_t i = 0; i < text.len; i += 2) {
    int byte = hex_byte(text, i);
    if (byte < 0) return push_nil_why(L, "this is not hexadecimal");
    out[i / 2] = (char)byte;
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
  struct str text = text_at(L, 1);
  char *out = room(L, text.len * 3);
  size_t n = 0;
  for (size_t i = 0; i < text.len; i++) {
    if (is_unreserved(text.ptr[i]))
      out[n++] = text.ptr[i];
    else
      n += hex_put_percent(out + n, text.ptr[i]);
  }
  return push(L, out, n);
}

/* core.decode_url(text, form): in forms + is a space, and a % without digits stays as it is -2 +1 | -2 +2 */
static int decode_url(lua_State *L) {
  struct str text = text_at(L, 1);
  bool is_form = lua_toboolean(L, 2);
  char *out = room(L, text.len);
  size_t n = 0;
  for (size_t i = 0; i < text.len; i++) {
    int byte = text.ptr[i] == '%' ? hex_byte(text, i + 1) : -1;
    if (byte >= 0) {
      out[n++] = (char)byte;
      i += 2;
    } else if (text.ptr[i] == '%' && !is_form) {
      return push_nil_why(L, "a % without two hexadecimal digits behind it");
    } else {
      out[n++] = is_form && text.ptr[i] == '+' ? ' ' : text.ptr[i];
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
