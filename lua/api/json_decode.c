// SPDX-License-Identifier: Apache-2.0
// json_decode: JSON (RFC 8259) as Lua values, strictly: anything outside the grammar is an error that says where.
// Arrays are marked, so that they are written as arrays again, even empty ones.
#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/hex.h"
#include "base/memory.h"
#include "http/grammar.h"
#include "lua/api/json.h"
#include "lua/vm/vm.h"

/* The text ends with a NUL, as all of Lua's strings: so one byte further may always be looked at. */
struct reader {
  lua_State *L;
  const char *start, *at, *end;
  struct buf *scratch; /* borrowed: strings with escapes */
};

static bool read_value(struct reader *r, unsigned depth, const char **why);

static bool fail(const char **why, const char *sentence) {
  *why = sentence;
  return false;
}

static void skip_space(struct reader *r) {
  while (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r') r->at++;
}

static bool take(struct reader *r, char c) {
  skip_space(r);
  bool is_there = *r->at == c && r->at < r->end;
  r->at += is_there;
  return is_there;
}

/* --- numbers ---------------------------------------------------------------------------------------------- */

static const char *digits(const char *at) {
  while (grammar_is_digit(*at)) at++;
  return at;
}

/* Behind a number as the grammar has it; NULL: it is none. */
static const char *end_of_number(const char *at) {
  if (*at == '-') at++;
  const char *whole = at;
  at = *at == '0' ? at + 1 : digits(at);
  if (at == whole) return NULL;
  if (*at == '.') {
    const char *fraction = at + 1;
    at = digits(fraction);
    if (at == fraction) return NULL;
  }
  if (*at == 'e' || *at == 'E') {
    at++;
    if (*at == '+' || *at == '-') at++;
    const char *exponent = at;
    at = digits(exponent);
    if (at == exponent) return NULL;
  }
  return at;
}

static bool read_number(struct reader *r, const char **why) {
  const char *end = end_of_number(r->at);
  if (!end) return fail(why, "a malformed number");
  double number = strtod(r->at, NULL);
  if (!isfinite(number)) return fail(why, "a number larger than any that Lua has");
  r->at = end;
  lua_pushnumber(r->L, number);
  return true;
}

/* --- strings ---------------------------------------------------------------------------------------------- */

/* The four digits behind \u, which are taken; -1: they are none. */
static int read_unit(struct reader *r) {
  int unit = 0;
  for (int i = 0; i < 4; i++, r->at++) {
    int digit = hex_value(*r->at);
    if (digit < 0) return -1;
    unit = unit << 4 | digit;
  }
  return unit;
}

static void put_utf8(struct buf *out, unsigned code) {
  char bytes[4];
  size_t count = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  static const unsigned char leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
  for (size_t i = count - 1; i > 0; i--, code >>= 6) bytes[i] = (char)(0x80 | (code & 0x3f));
  bytes[0] = (char)(leads[count] | code);
  buf_append(out, bytes, count);
}

/* Behind "\u". A character beyond 16 bits is two units; half of one is no character. */
static bool read_code(struct reader *r, const char **why) {
  int unit = read_unit(r), low = 0;
  if (unit < 0) return fail(why, "\\u without four hexadecimal digits");
  if (unit >= 0xdc00 && unit <= 0xdfff) return fail(why, "half of a surrogate pair");
  if (unit >= 0xd800 && unit <= 0xdbff) {
    if (r->at[0] != '\\' || r->at[1] != 'u') return fail(why, "half of a surrogate pair");
    r->at += 2;
    low = read_unit(r);
    if (low < 0xdc00 || low > 0xdfff) return fail(why, "half of a surrogate pair");
    unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
  }
  put_utf8(r->scratch, (unsigned)unit);
  return true;
}

/* Behind the backslash. */
static bool read_escape(struct reader *r, const char **why) {
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  char c = *r->at;
  if (c) r->at++;
  if (c == 'u') return read_code(r, why);
  const char *found = c ? strchr(from, c) : NULL;
  if (!found) return fail(why, "an unknown escape");
  buf_append(r->scratch, &to[found - from], 1);
  return true;
}

/* To the next byte that is not just itself. */
static const char *plain_end(const char *at) {
  while ((unsigned char)*at >= 0x20 && *at != '"' && *at != '\\') at++;
  return at;
}

/* Behind the opening quote. */
static bool read_string(struct reader *r, const char **why) {
  const char *end = plain_end(r->at);
  if (*end == '"') { /* the usual one */
    lua_pushlstring(r->L, r->at, (size_t)(end - r->at));
    r->at = end + 1;
    return true;
  }
  buf_clear(r->scratch);
  for (;;) {
    end = plain_end(r->at);
    buf_append(r->scratch, r->at, (size_t)(end - r->at));
    r->at = end;
    if (*end == '"') break;
    if (end >= r->end) return fail(why, "a string without an end");
    if (*end != '\\') return fail(why, "a control character in a string");
    r->at++;
    if (!read_escape(r, why)) return false;
  }
  r->at++;
  lua_pushlstring(r->L, buf_len(r->scratch) ? buf_ptr(r->scratch) : "", buf_len(r->scratch));
  return true;
}

/* --- arrays and objects ----------------------------------------------------------------------------------- */

static bool read_array(struct reader *r, unsigned depth, const char **why) {
  lua_newtable(r->L);
  json_mark_array(r->L, -1);
  if (take(r, ']')) return true;
  for (int i = 1;; i++) {
    if (!read_value(r, depth + 1, why)) return false;
    lua_rawseti(r->L, -2, i);
    if (take(r, ']')) return true;
    if (!take(r, ',')) return fail(why, "expected ',' or ']'");
  }
}

static bool read_object(struct reader *r, unsigned depth, const char **why) {
  lua_newtable(r->L);
  if (take(r, '}')) return true;
  for (;;) {
    if (!take(r, '"')) return fail(why, "expected a name in quotes");
    if (!read_string(r, why)) return false;
    if (!take(r, ':')) return fail(why, "expected ':'");
    if (!read_value(r, depth + 1, why)) return false;
    lua_rawset(r->L, -3);
    if (take(r, '}')) return true;
    if (!take(r, ',')) return fail(why, "expected ',' or '}'");
  }
}

static bool read_word(struct reader *r, const char *word, size_t length) {
  if (strncmp(r->at, word, length) != 0) return false;
  r->at += length;
  return true;
}

/* -0 +1 */
static bool read_value(struct reader *r, unsigned depth, const char **why) {
  skip_space(r);
  bool nests = *r->at == '[' || *r->at == '{';
  if (nests && depth >= JSON_DEPTH) return fail(why, "more than 100 levels");
  if (take(r, '[')) return read_array(r, depth, why);
  if (take(r, '{')) return read_object(r, depth, why);
  if (take(r, '"')) return read_string(r, why);
  if (*r->at == '-' || grammar_is_digit(*r->at)) return read_number(r, why);
  if (read_word(r, "null", 4))
    lua_pushlightuserdata(r->L, NULL);
  else if (read_word(r, "true", 4))
    lua_pushboolean(r->L, true);
  else if (read_word(r, "false", 5))
    lua_pushboolean(r->L, false);
  else
    return fail(why, "expected a value");
  return true;
}

static bool read_text(struct reader *r, const char **why) {
  if (!read_value(r, 0, why)) return false;
  skip_space(r);
  return r->at == r->end || fail(why, "something behind the value");
}

/* -n +2 */
static int refuse(struct reader *r, const char *why) {
  lua_settop(r->L, 0);
  lua_pushnil(r->L);
  lua_pushfstring(r->L, "%s at character %d", why, (int)(r->at - r->start) + 1);
  return 2;
}

int json_decode(lua_State *L) {
  size_t length;
  const char *why = NULL;
  if (lua_type(L, 1) != LUA_TSTRING) {
    lua_pushnil(L);
    lua_pushfstring(L, "expected a string, got a %s value", luaL_typename(L, 1));
    return 2;
  }
  lua_settop(L, 1);
  const char *text = lua_tolstring(L, 1, &length);
  struct reader r = {.L = L, .start = text, .at = text, .end = text + length, .scratch = &vm_of(L)->scratch};
  luaL_checkstack(L, 4 * JSON_DEPTH, "json.decode");
  bool fine = read_text(&r, &why);
  CHECK(!fine || (r.at == r.end && lua_gettop(L) == 2));
  if (r.scratch->cap > BLOCK_LARGEST) buf_release(r.scratch);
  return fine ? 1 : refuse(&r, why);
}
