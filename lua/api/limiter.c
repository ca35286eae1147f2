// SPDX-License-Identifier: Apache-2.0
// limiter: core.limiter, which sliding and bucket of scripts/rate_limit.lua are built on: may another request of a key
// pass? Shared by all workers.
#include "shared/limiter.h"

#include "lua/api/shared.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"

struct limiter_config {
  struct limiter_rules rules;
  const struct clock *clock;
};

static void *make(const void *config) {
  const struct limiter_config *wanted = config;
  return limiter_new(&wanted->rules, wanted->clock);
}
static void release(void *object) { limiter_free(object); }

/* A limit that a reload changes starts with empty counts. */
static bool fits(const void *object, const void *config) {
  const struct limiter_rules *a = limiter_rules(object), *b = &((const struct limiter_config *)config)->rules;
  return a->kind == b->kind && a->max == b->max && a->burst == b->burst && a->interval_ms == b->interval_ms &&
         a->keys == b->keys;
}
static const struct registry_kind kind = {"limiter", make, release, fits, NULL};

/* core.limiter({ kind = "window" | "bucket", max =, interval =, burst =, keys = }, name) -2 +1 */
static int new_limiter(lua_State *L) {
  static const char *const kinds[] = {"window", "bucket", NULL};
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 2);
  lua_getfield(L, 1, "kind");
  struct limiter_config config = {.clock = vm_of(L)->host.clock};
  config.rules.kind = (enum limiter_kind)luaL_checkoption(L, 3, NULL, kinds);
  config.rules.max = shared_check_field(L, "limiter", "max", 1);
  config.rules.burst = shared_check_field(L, "limiter", "burst", 1);
  config.rules.interval_ms = shared_check_field(L, "limiter", "interval", 1000);
  config.rules.keys = shared_check_field(L, "limiter", "keys", 1);
  if (config.rules.keys > LIMITER_KEYS_MOST)
    return handle_raise(L, "rate_limit: keys must be from 1 to %d", LIMITER_KEYS_MOST);
  shared_check_room(L, "rate_limit", "keys", config.rules.keys, LIMITER_KEY_BYTES);
  shared_push(L, HANDLE_LIMITER, &kind, 2, &config);
  return 1;
}

/* limiter:take(key): does it pass; how many more would; seconds until the limit is whole; until the next
 * passes. -2 +4 */
static int take(lua_State *L) {
  struct shared *shared = handle_check(L, 1, HANDLE_LIMITER);
  struct str key = text_at(L, 2);
  if (vm_of(L)->loading && shared_is_foreign(L, shared))
    return handle_raise(L, "limiter: nothing is limited while the policy loads: see perilune.spawn");
  struct limiter_verdict verdict = limiter_take(shared->object, key);
  lua_pushboolean(L, verdict.passes);
  lua_pushinteger(L, (lua_Integer)verdict.remaining);
  lua_pushnumber(L, (lua_Number)verdict.reset_ms / 1000);
  lua_pushnumber(L, (lua_Number)verdict.retry_ms / 1000);
  return 4;
}

static const luaL_Reg methods[] = {{"take", take}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"limiter", new_limiter}, {NULL, NULL}};

void open_limiter(lua_State *L) {
  handle_define(L, HANDLE_LIMITER, "perilune.limiter", methods, NULL);
  handle_set_end(L, HANDLE_LIMITER, shared_end);
  luaL_register(L, NULL, functions);
}
