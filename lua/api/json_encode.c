// SPDX-License-Identifier: Apache-2.0
// json_encode: a Lua value as JSON (RFC 8259). Numbers are written so that they read back as the same (base/number).
// The text is built in the VM's scratch buffer, outside Lua's memory, so that nothing leaks if an error is raised. Its
// length is limited by the VM's memory limit, because a table that contains another one several times can expand to
// a text of any length.
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/number.h"
#include "lua/api/json.h"
#include "lua/vm/vm.h"

struct writer {
  lua_State *L;
  struct buf *out; /* borrowed: the vm's scratch */
  size_t most;
  const char *why; /* NULL: fine so far; static or `room` */
  char room[80];
};

static void put_value(struct writer *w, unsigned depth);

static void put(struct writer *w, const char *bytes, size_t count) {
  if (buf_len(w->out) + count > w->most) w->why = "the text is longer than the policy's memory_limit";
  if (!w->why) buf_append(w->out, bytes, count);
}
#define PUT(w, literal) put(w, literal, sizeof(literal) - 1)

static void put_number(struct writer *w, lua_Number number) {
  char text[NUMBER_TEXT];
  size_t length = number_text(number, text);
  if (isfinite(number))
    put(w, text, length);
  else
    w->why = "a number that is not finite (NaN or infinity) has no JSON";
}

/* What stands for a byte between quotes; its length, 0: itself. */
static size_t escape_of(unsigned char c, char escape[8]) {
  static const char shorts[] = "\"\"\\\\b\bf\fn\nr\rt\t", digits[] = "0123456789abcdef";
  for (size_t i = 0; i + 1 < sizeof shorts; i += 2) {
    if ((unsigned char)shorts[i + 1] != c) continue;
    memcpy(escape, (char[]){'\\', shorts[i]}, 2);
    return 2;
  }
  if (c >= 0x20 && c != 0x7f) return 0;
  memcpy(escape, (char[]){'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]}, 6);
  return 6;
}

/* Bytes above ASCII go through as they are, UTF-8 or not. */
static void put_string(struct writer *w, const char *bytes, size_t count) {
  char escape[8];
  size_t from = 0;
  PUT(w, "\"");
  for (size_t i = 0; i < count && !w->why; i++) {
    unsigned char c = (unsigned char)bytes[i];
    bool is_plain = c >= 0x20 && c != '"' && c != '\\' && c != 0x7f;
    if (is_plain) continue;
    put(w, bytes + from, i - from);
    put(w, escape, escape_of(c, escape));
    from = i + 1;
  }
  put(w, bytes + from, count - from);
  PUT(w, "\"");
}

/* What a table is made of. */
struct shape {
  size_t count, most; /* keys, and the largest of those that are positions */
  bool has_others;    /* keys that are no positions */
};

/* The table on top. -0 +0 */
static struct shape shape_of(lua_State *L) {
  struct shape shape = {0};
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    lua_Number key = lua_type(L, -2) == LUA_TNUMBER ? lua_tonumber(L, -2) : 0;
    bool is_position = key >= 1 && key <= INT32_MAX && key == floor(key);
    shape.count++;
    shape.has_others |= !is_position;
    if (is_position && (size_t)key > shape.most) shape.most = (size_t)key;
  }
  return shape;
}

/* With more holes than that the rest would be lost among nulls. */
static bool is_sparse(struct shape shape) { return shape.most > 10 && shape.most > 2 * shape.count; }

static void put_array(struct writer *w, size_t count, unsigned depth) {
  PUT(w, "[");
  for (size_t i = 1; i <= count && !w->why; i++) {
    if (i > 1) PUT(w, ",");
    lua_rawgeti(w->L, -1, (int)i);
    put_value(w, depth + 1);
    lua_pop(w->L, 1);
  }
  PUT(w, "]");
}

/* The key is below the value: it must not be changed. */
static void put_key(struct writer *w) {
  char text[NUMBER_TEXT];
  size_t length;
  if (lua_type(w->L, -2) == LUA_TSTRING) {
    const char *key = lua_tolstring(w->L, -2, &length);
    put_string(w, key, length);
  } else if (lua_type(w->L, -2) == LUA_TNUMBER && isfinite(lua_tonumber(w->L, -2))) {
    length = number_text(lua_tonumber(w->L, -2), text);
    put_string(w, text, length);
  } else {
    w->why = "a key that is neither a string nor a finite number";
  }
}

static void put_object(struct writer *w, unsigned depth) {
  bool is_first = true;
  PUT(w, "{");
  for (lua_pushnil(w->L); lua_next(w->L, -2); lua_pop(w->L, 1)) {
    if (!is_first) PUT(w, ",");
    is_first = false;
    put_key(w);
    PUT(w, ":");
    put_value(w, depth + 1);
    if (!w->why) continue;
    lua_pop(w->L, 2);
    return;
  }
  PUT(w, "}");
}

static void put_table(struct writer *w, unsigned depth) {
  bool is_marked = json_is_marked(w->L, -1);
  struct shape shape = shape_of(w->L);
  if (is_marked && shape.has_others)
    w->why = "an array with a key that is no position";
  else if (is_marked && is_sparse(shape))
    w->why = "an array with more holes than values";
  else if (is_marked || (shape.count && !shape.has_others && !is_sparse(shape)))
    put_array(w, shape.most, depth);
  else
    put_object(w, depth);
}

static void refuse_type(struct writer *w) {
  snprintf(w->room, sizeof w->room, "a %s value has no JSON", luaL_typename(w->L, -1));
  w->why = w->room;
}

/* The value on top. -0 +0 */
static void put_value(struct writer *w, unsigned depth) {
  CHECK(depth <= JSON_DEPTH);
  size_t length;
  const char *text;
  if (w->why) return;
  switch (lua_type(w->L, -1)) {
  case LUA_TNIL: PUT(w, "null"); return;
  case LUA_TBOOLEAN: lua_toboolean(w->L, -1) ? PUT(w, "true") : PUT(w, "false"); return;
  case LUA_TNUMBER: put_number(w, lua_tonumber(w->L, -1)); return;
  case LUA_TSTRING:
    text = lua_tolstring(w->L, -1, &length);
    put_string(w, text, length);
    return;
  case LUA_TTABLE:
    if (depth >= JSON_DEPTH)
      w->why = "more than 100 levels of tables";
    else
      put_table(w, depth);
    return;
  case LUA_TLIGHTUSERDATA:
    if (!lua_touserdata(w->L, -1))
      PUT(w, "null");
    else if (lua_touserdata(w->L, -1) == &json_empty_array)
      PUT(w, "[]");
    else
      refuse_type(w);
    return;
  }
  refuse_type(w);
}

int json_encode(lua_State *L) {
  struct vm *vm = vm_of(L);
  struct writer w = {.L = L, .out = &vm->scratch, .most = vm->memory.cap_bytes};
  lua_settop(L, 1);
  luaL_checkstack(L, 4 * JSON_DEPTH, "json.encode");
  buf_clear(w.out);
  put_value(&w, 0);
  lua_settop(L, 0);
  if (w.why) {
    lua_pushnil(L);
    lua_pushstring(L, w.why);
  } else {
    lua_pushlstring(L, buf_ptr(w.out), buf_len(w.out));
  }
  if (w.out->cap > BLOCK_LARGEST) buf_release(w.out);
  return w.why ? 2 : 1;
}
