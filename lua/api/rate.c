// SPDX-License-Identifier: Apache-2.0
// rate: perilune.rate(name, { interval = seconds, slots = n }): how often something happens, by key, for all workers
// together. The numbers are estimates, which may be too high.
#include "shared/rate.h"

#include "lua/api/shared.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"

struct rate_config {
  uint64_t interval_ms;
  unsigned hashes, slots;
  const struct clock *clock;
};

static void *make(const void *config) {
  const struct rate_config *wanted = config;
  return rate_new(wanted->interval_ms, wanted->hashes, wanted->slots, wanted->clock);
}
static void release(void *object) { rate_free(object); }
static bool fits(const void *object, const void *config) {
  const struct rate_config *wanted = config;
  return rate_interval_ms(object) == wanted->interval_ms && rate_slots(object) == wanted->slots;
}
static const struct registry_kind kind = {"rate", make, release, fits, NULL};

/* core.rate(interval [, slots [, name]]) -3 +1 */
static int new_rate(lua_State *L) {
  lua_Number interval = luaL_checknumber(L, 1);
  if (!(interval >= 0.001 && interval <= 1e6))
    return handle_raise(L, "perilune.rate: interval must be from 0.001 to 1000000 seconds");
  lua_Number slots = luaL_optnumber(L, 2, RATE_SLOTS);
  if (!(slots >= 1 && slots <= RATE_SLOTS_MOST))
    return handle_raise(L, "perilune.rate: slots must be from 1 to %d", RATE_SLOTS_MOST);
  shared_check_room(L, "perilune.rate", "slots", slots, RATE_SLOT_BYTES);
  struct rate_config config = {(uint64_t)(interval * 1000 + 0.5), RATE_HASHES, (unsigned)slots,
                               vm_of(L)->host.clock};
  lua_settop(L, 3);
  shared_push(L, HANDLE_RATE, &kind, 3, &config);
  return 1;
}

/* -0 +0 */
static struct rate *check(lua_State *L, struct str *key) {
  struct shared *shared = handle_check(L, 1, HANDLE_RATE);
  *key = text_at(L, 2);
  return shared->object;
}

/* rate:observe(key [, n]): how many there are in the current window, these included. -3 +1 */
static int observe(lua_State *L) {
  struct str key;
  struct rate *rate = check(L, &key);
  lua_Integer n = luaL_optinteger(L, 3, 1);
  if (vm_of(L)->loading && shared_is_foreign(L, handle_check(L, 1, HANDLE_RATE))) {
    shared_put_off(L, observe);
    lua_pushinteger(L, n);
    return 1;
  }
  lua_pushnumber(L, (lua_Number)rate_observe(rate, key, n));
  return 1;
}

/* rate:rate(key): of the last whole window. -2 +1 */
static int last(lua_State *L) {
  struct str key;
  struct rate *rate = check(L, &key);
  lua_pushnumber(L, rate_per_second(rate, key));
  return 1;
}

/* rate:proportional(key): per second, over a sliding window. -2 +1 */
static int proportional(lua_State *L) {
  struct str key;
  struct rate *rate = check(L, &key);
  lua_pushnumber(L, rate_proportional(rate, key));
  return 1;
}

static const luaL_Reg methods[] = {
    {"observe", observe}, {"rate", last}, {"proportional", proportional}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"rate", new_rate}, {NULL, NULL}};

void open_rate(lua_State *L) {
  handle_define(L, HANDLE_RATE, "perilune.rate", methods, NULL);
  handle_set_end(L, HANDLE_RATE, shared_end);
  luaL_register(L, NULL, functions);
}
