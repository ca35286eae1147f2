// SPDX-License-Identifier: Apache-2.0
// Fuzz driver: core.yaml_decode. What is read holds no function and nothing of the reader's; what is
// not read is refused with a place.
#include <lauxlib.h>
#include <lualib.h>

#include "fuzz_vm.h"
#include "lua/vm/nouns.h"

enum { DEPTH = 200 };

static void open_it(lua_State *L) {
  open_yaml(L);
  lua_getfield(L, 1, "yaml_decode");
  lua_setglobal(L, "yaml_decode");
}

/* Aliases make one table appear often: a walk is bounded by `budget`. */
static void require_plain(lua_State *L, int index, int depth, unsigned *budget) {
  int type = lua_type(L, index);
  REQUIRE(type == LUA_TTABLE || type == LUA_TSTRING || type == LUA_TNUMBER || type == LUA_TBOOLEAN ||
          type == LUA_TLIGHTUSERDATA);
  if (type != LUA_TTABLE || !*budget) return;
  REQUIRE(depth < DEPTH && lua_checkstack(L, 8));
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    if (*budget) --*budget;
    require_plain(L, lua_gettop(L), depth + 1, budget);
  }
}

/* -0 +2: its two results */
static void decode(lua_State *L, const uint8_t *data, size_t size) {
  lua_getglobal(L, "yaml_decode");
  lua_pushlstring(L, (const char *)data, size);
  REQUIRE(lua_pcall(L, 1, 2, 0) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  lua_State *L = fuzz_vm(open_it);
  unsigned budget = 10000;
  lua_settop(L, 0);
  decode(L, data, size);
  REQUIRE(lua_gettop(L) == 2);
  if (lua_isnil(L, 1)) {
    const char *why = lua_tostring(L, 2);
    REQUIRE(why && (strncmp(why, "line ", 5) == 0 || strncmp(why, "more than", 9) == 0));
  } else {
    require_plain(L, 1, 0, &budget);
  }
  lua_settop(L, 0);
  lua_gc(L, LUA_GCSTEP, 10);
  return 0;
}
