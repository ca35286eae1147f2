// SPDX-License-Identifier: Apache-2.0
// json: the C half of perilune.json.
#include "lua/api/json.h"

#include <lauxlib.h>

#include "lua/vm/nouns.h"

const char json_empty_array = 0;

static const char mark; /* its address is the metatable's key in the registry */

/* -0 +1 */
static void push_mark(lua_State *L) {
  lua_pushlightuserdata(L, (void *)&mark);
  lua_rawget(L, LUA_REGISTRYINDEX);
}

void json_mark_array(lua_State *L, int index) {
  if (index < 0) index += lua_gettop(L) + 1;
  push_mark(L);
  lua_setmetatable(L, index);
}

bool json_is_marked(lua_State *L, int index) {
  if (!lua_getmetatable(L, index)) return false;
  push_mark(L);
  bool is_marked = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return is_marked;
}

/* core.json_array([table]): the table, or a new one, as an array even while it is empty -1 +1 */
static int array(lua_State *L) {
  if (lua_isnoneornil(L, 1)) {
    lua_settop(L, 0);
    lua_newtable(L);
  }
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  json_mark_array(L, 1);
  return 1;
}

static const luaL_Reg functions[] = {
    {"json_encode", json_encode}, {"json_decode", json_decode}, {"json_array", array}, {NULL, NULL}};

void open_json(lua_State *L) {
  luaL_register(L, NULL, functions);
  lua_pushlightuserdata(L, NULL);
  lua_setfield(L, -2, "json_null");
  lua_pushlightuserdata(L, (void *)&json_empty_array);
  lua_setfield(L, -2, "json_empty_array");
  lua_pushlightuserdata(L, (void *)&mark);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "perilune.json.array");
  lua_setfield(L, -2, "__name");
  lua_rawset(L, LUA_REGISTRYINDEX);
}
