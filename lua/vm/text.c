// SPDX-License-Identifier: Apache-2.0
// text: one conversion for all values that a policy passes where a string is expected.
#include "lua/vm/text.h"

#include <lauxlib.h>

#include "base/duration.h"
#include "base/number.h"
#include "lua/vm/nouns.h"

/* -0 +1 */
static void push_number(lua_State *L, lua_Number number) {
  char text[NUMBER_TEXT];
  lua_pushlstring(L, text, number_text(number, text));
}

/* -0 +0 */
static __attribute__((noinline, cold)) void number_to_text(lua_State *L, int index) {
  push_number(L, lua_tonumber(L, index));
  lua_replace(L, index < 0 ? index - 1 : index);
}

struct str text_of_type(lua_State *L, int index, int type) {
  struct str text = {NULL, 0};
  if (type == LUA_TNUMBER) number_to_text(L, index);
  if (type == LUA_TSTRING || type == LUA_TNUMBER) text.ptr = lua_tolstring(L, index, &text.len);
  return text;
}

struct str text_of(lua_State *L, int index) {
  return text_of_type(L, index, lua_type(L, index));
}

static __attribute__((noinline, cold)) struct str text_at_of(lua_State *L, int index, int type) {
  struct str text = text_of_type(L, index, type);
  if (!text.ptr) luaL_checktype(L, index, LUA_TSTRING);
  return text;
}

struct str text_at(lua_State *L, int index) {
  struct str text;
  int type = lua_type(L, index);
  if (__builtin_expect(type != LUA_TSTRING, false)) return text_at_of(L, index, type);
  text.ptr = lua_tolstring(L, index, &text.len);
  return text;
}

int text_make(lua_State *L) {
  lua_settop(L, 1);
  if (lua_type(L, 1) == LUA_TNUMBER) {
    push_number(L, lua_tonumber(L, 1));
    return 1;
  }
  lua_getglobal(L, "tostring");
  lua_insert(L, 1);
  lua_call(L, 1, 1);
  return 1;
}

static const luaL_Reg functions[] = {{"text", text_make}, {NULL, NULL}};

void open_text(lua_State *L) { luaL_register(L, NULL, functions); }

bool duration_at(lua_State *L, int index, unsigned *ms) {
  int type = lua_type(L, index);
  if (type == LUA_TSTRING) return duration_read(lua_tostring(L, index), ms);
  return type == LUA_TNUMBER && duration_of_seconds(lua_tonumber(L, index), ms);
}
