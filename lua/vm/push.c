// SPDX-License-Identifier: Apache-2.0
// push: the functions that need more than a line.
#include "lua/vm/push.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "http/headers.h"

void push_code(lua_State *L, const char *code) {
  if (luaL_loadbuffer(L, code, strlen(code), "=perilune") != 0) lua_error(L);
}

void push_function(lua_State *L, const char *module, const char *name) {
  lua_getglobal(L, "require");
  lua_pushstring(L, module);
  lua_call(L, 1, 1);
  lua_getfield(L, -1, name);
  lua_remove(L, -2);
}

int push_call_original(lua_State *L) {
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  return lua_gettop(L);
}

int push_true_or_owned(lua_State *L, char *why) {
  int results = push_true_or_why(L, why);
  free(why);
  return results;
}

void push_fields(lua_State *L, const struct headers *headers) {
  lua_createtable(L, (int)headers->count * 2, 0);
  for (unsigned i = 0; i < headers->count; i++) {
    push_text(L, headers->items[i].name);
    lua_rawseti(L, -2, (int)i * 2 + 1);
    push_text(L, headers->items[i].value);
    lua_rawseti(L, -2, (int)i * 2 + 2);
  }
}
