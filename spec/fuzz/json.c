// SPDX-License-Identifier: Apache-2.0
// Fuzz driver: perilune.json. What is read is written as JSON, without control characters, and reads back as the same:
// arrays as arrays, each number to its last bit. What is not read is refused with a place that lies in the text.
#include "lua/api/json.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>

#include "fuzz_vm.h"
#include "lua/vm/nouns.h"

/* function -1 +2: its two results */
static void call(lua_State *L, lua_CFunction function) {
  lua_pushcfunction(L, function);
  lua_insert(L, -2);
  REQUIRE(lua_pcall(L, 1, 2, 0) == 0);
}

static void require_same(lua_State *L, int a, int b, int depth);

static void require_same_table(lua_State *L, int a, int b, int depth) {
  size_t count = 0;
  REQUIRE(json_is_marked(L, a) == json_is_marked(L, b));
  for (lua_pushnil(L); lua_next(L, a); lua_pop(L, 1), count++) {
    lua_pushvalue(L, -2);
    lua_rawget(L, b);
    require_same(L, lua_gettop(L) - 1, lua_gettop(L), depth + 1);
    lua_pop(L, 1);
  }
  for (lua_pushnil(L); lua_next(L, b); lua_pop(L, 1)) count--;
  REQUIRE(count == 0);
}

static void require_same(lua_State *L, int a, int b, int depth) {
  REQUIRE(depth <= JSON_DEPTH && lua_checkstack(L, 8));
  REQUIRE(lua_type(L, a) == lua_type(L, b));
  if (lua_type(L, a) == LUA_TTABLE) {
    require_same_table(L, a, b, depth);
  } else if (lua_type(L, a) == LUA_TNUMBER) {
    lua_Number one = lua_tonumber(L, a), other = lua_tonumber(L, b);
    REQUIRE(memcmp(&one, &other, sizeof one) == 0);
  } else {
    REQUIRE(lua_rawequal(L, a, b));
  }
}

/* The value is at 1. */
static void write_and_read(lua_State *L) {
  size_t length;
  lua_pushvalue(L, 1);
  call(L, json_encode);
  REQUIRE(lua_type(L, -2) == LUA_TSTRING && lua_isnil(L, -1));
  lua_pop(L, 1);
  const char *text = lua_tolstring(L, -1, &length);
  for (size_t i = 0; i < length; i++) REQUIRE((unsigned char)text[i] >= 0x20 && text[i] != 0x7f);
  call(L, json_decode);
  lua_pop(L, 1);
  REQUIRE(lua_gettop(L) == 2 && !lua_isnil(L, 2));
  require_same(L, 1, 2, 0);
}

static void require_place(lua_State *L, size_t size) {
  const char *why = lua_tostring(L, 2);
  const char *place = why ? strstr(why, " at character ") : NULL;
  REQUIRE(lua_isnil(L, 1) && place);
  unsigned long at = strtoul(place + strlen(" at character "), NULL, 10);
  REQUIRE(at >= 1 && at <= size + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  lua_State *L = fuzz_vm(open_json);
  lua_settop(L, 0);
  lua_pushlstring(L, (const char *)data, size);
  call(L, json_decode);
  if (lua_isnil(L, 1)) {
    require_place(L, size);
  } else {
    lua_pop(L, 1);
    write_and_read(L);
  }
  lua_settop(L, 0);
  return 0;
}
