// SPDX-License-Identifier: Apache-2.0
// Fuzz driver: Lua's values of replies that a scan has found to be whole. None of them raises, whatever is in it; the
// stack holds what was promised, and the same bytes as a unit of one reply give a list of one value at most.
#include "lua/api/redis.h"

#include <lauxlib.h>

#include "fuzz_vm.h"

/* -1 +n */
static int push(lua_State *L) {
  const struct str *reply = lua_touserdata(L, 1);
  lua_settop(L, 0);
  int count = redis_push_reply(L, *reply);
  REQUIRE(lua_gettop(L) == count && (count == 1 || count == 3));
  REQUIRE(count == 1 || (lua_isnil(L, 1) && lua_isstring(L, 2) && lua_isstring(L, 3)));
  return count;
}

/* -1 +1 */
static int push_unit(lua_State *L) {
  const struct str *reply = lua_touserdata(L, 1);
  lua_settop(L, 0);
  redis_push_replies(L, *reply, 1);
  REQUIRE(lua_gettop(L) == 1 && lua_objlen(L, 1) == 1);
  return 1;
}

static void run(lua_State *L, lua_CFunction function, struct str *reply) {
  lua_pushcfunction(L, function);
  lua_pushlightuserdata(L, reply);
  REQUIRE(lua_pcall(L, 1, LUA_MULTRET, 0) == 0);
  lua_settop(L, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct str bytes = fuzz_copy(data, size);
  struct resp_scan scan = {0};
  if (resp_scan(&scan, bytes.ptr, bytes.len) == RESP_WHOLE) {
    struct str reply = fuzz_copy(bytes.ptr, scan.at);
    run(fuzz_vm(redis_open_replies), push, &reply);
    run(fuzz_vm(redis_open_replies), push_unit, &reply);
    free((char *)reply.ptr);
  }
  free((char *)bytes.ptr);
  return 0;
}
