// SPDX-License-Identifier: Apache-2.0
// counter: perilune.counter(name): a whole number that all workers add to.
#include "shared/counter.h"

#include <stdlib.h>

#include "base/memory.h"
#include "lua/api/shared.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/vm.h"

static void *make(const void *config) {
  (void)config;
  return memory_zalloc(sizeof(struct counter));
}
static void release(void *object) { free(object); }
static const struct registry_kind kind = {"counter", make, release, NULL, NULL};

/* core.counter(name) -1 +1 */
static int new_counter(lua_State *L) {
  shared_push(L, HANDLE_COUNTER, &kind, 1, NULL);
  return 1;
}

/* -0 +0 */
static struct counter *check(lua_State *L) {
  return ((struct shared *)handle_check(L, 1, HANDLE_COUNTER))->object;
}

/* A number can stand for whole numbers up to 2^53. -0 +0 */
static int64_t check_whole(lua_State *L, int index, lua_Number otherwise) {
  lua_Number number = luaL_optnumber(L, index, otherwise);
  if (!(number >= -9007199254740992.0 && number <= 9007199254740992.0) ||
      number != (lua_Number)(int64_t)number)
    luaL_error(L, "a counter counts in whole numbers");
  return (int64_t)number;
}

/* -0 +0 */
static bool is_foreign(lua_State *L) {
  return vm_of(L)->loading && shared_is_foreign(L, handle_check(L, 1, HANDLE_COUNTER));
}

/* counter:add([n]): the sum -2 +1 */
static int add(lua_State *L) {
  struct counter *counter = check(L);
  int64_t n = check_whole(L, 2, 1);
  if (is_foreign(L)) {
    shared_put_off(L, add);
    lua_pushnumber(L, (lua_Number)(counter_get(counter) + n));
    return 1;
  }
  lua_pushnumber(L, (lua_Number)counter_add(counter, n));
  return 1;
}

/* counter:get() -1 +1 */
static int get(lua_State *L) {
  lua_pushnumber(L, (lua_Number)counter_get(check(L)));
  return 1;
}

/* counter:set([n]): to n, or 0; what it was before -2 +1 */
static int set(lua_State *L) {
  struct counter *counter = check(L);
  int64_t n = check_whole(L, 2, 0);
  if (is_foreign(L)) {
    shared_put_off(L, set);
    lua_pushnumber(L, (lua_Number)counter_get(counter));
    return 1;
  }
  lua_pushnumber(L, (lua_Number)counter_set(counter, n));
  return 1;
}

static const luaL_Reg methods[] = {{"add", add}, {"get", get}, {"set", set}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"counter", new_counter}, {NULL, NULL}};

void open_counter(lua_State *L) {
  handle_define(L, HANDLE_COUNTER, "perilune.counter", methods, NULL);
  handle_set_end(L, HANDLE_COUNTER, shared_end);
  luaL_register(L, NULL, functions);
}
