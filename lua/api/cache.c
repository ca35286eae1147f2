// SPDX-License-Identifier: Apache-2.0
// cache: perilune.cache(name, options): a cache of responses that all workers share, found by its name. What the
// options say beside the size holds for the listeners that are given this object.
#include "lua/api/cache.h"

#include "base/arena.h"
#include "exchange/cache.h"
#include "lua/api/shared.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"
#include "net/virtual_time.h"
#include "runtime/deploy/inherited.h"
#include "shared/cache_kept.h"

struct cache_handle {
  struct shared shared; /* first */
  struct cache_rules rules;
};

/* The option of the table at `index`. -0 +0 */
static bool flag_of(lua_State *L, int index, const char *name) {
  lua_getfield(L, index, name);
  bool value = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return value;
}

/* --- options, in the table at 2 --- */

/* -0 +0 */
static lua_Number number_of(lua_State *L, const char *name) {
  lua_getfield(L, 2, name);
  lua_Number value = lua_tonumber(L, -1);
  lua_pop(L, 1);
  return value;
}

/* -0 +0 */
static void read_rules(lua_State *L, struct cache_rules *rules) {
  lua_Number ttl = number_of(L, "ttl");
  *rules = cache_rules_default;
  rules->object_most = (uint64_t)number_of(L, "max_object");
  rules->lock_wait_ms = (unsigned)(number_of(L, "lock_wait") * 1000);
  rules->refusal_ms = (unsigned)(number_of(L, "uncacheable_ttl") * 1000);
  rules->max_variants = (unsigned)number_of(L, "max_variants");
  rules->has_default = ttl >= 0;
  rules->default_s = ttl >= 0 ? (unsigned)ttl : 0;
  rules->says_status = flag_of(L, 2, "status_header");
  rules->grace_beside_s_maxage = flag_of(L, 2, "stale_beside_s_maxage");
}

/* A check opens nothing, and a test leaves nothing behind. The text stays on the stack. -0 +1 */
static const char *path_of(lua_State *L) {
  lua_getfield(L, 2, "path");
  return vm_of(L)->host.is_check || virtual_time.on ? NULL : lua_tostring(L, -1);
}

/* core.cache(name, options) -2 +1 */
static int new_cache(lua_State *L) {
  lua_Number bytes = number_of(L, "size");
  shared_check_size(L, "perilune.cache", bytes, CACHE_LEAST_BYTES, "1 MiB");
  struct cache_config config = {.bytes = (size_t)bytes, .clock = vm_of(L)->host.clock, .path = path_of(L)};
  config.predecessor = inherited_cache(text_at(L, 1));
  config.has_predecessor = config.predecessor >= 0 && !vm_of(L)->host.is_check;
  struct cache_handle *handle = handle_new(L, HANDLE_CACHE, sizeof *handle);
  read_rules(L, &handle->rules);
  shared_take(L, &handle->shared, &cache_kind, 1, &config);
  const struct kept_cache *kept = handle->shared.object;
  if (!kept->cache) return handle_raise(L, "perilune.cache: %s", kept->why);
  handle->rules.cache = kept->cache;
  handle->rules.name = registry_name(handle->shared.entry);
  return 1;
}

/* The VM holds the first handle of each object for its life, and the rules are the policy's. */
bool cache_read_option(lua_State *L, const struct option *option, void *to, struct arena *arena) {
  const struct cache_handle *handle = handle_test(L, -1, HANDLE_CACHE);
  (void)option;
  if (!handle) return false;
  struct cache_rules *rules = arena_alloc(arena, sizeof *rules);
  *rules = handle->rules;
  rules->name = arena_dup(arena, rules->name);
  *(const struct cache_rules **)to = rules;
  return true;
}

/* --- methods --- */

const struct kept_cache *cache_check(lua_State *L) {
  return ((struct shared *)handle_check(L, 1, HANDLE_CACHE))->object;
}

/* cache:size() -1 +1 */
static int size(lua_State *L) {
  lua_pushnumber(L, (lua_Number)cache_check(L)->bytes);
  return 1;
}

/* -0 +0 */
static bool is_foreign(lua_State *L) {
  return vm_of(L)->loading && shared_is_foreign(L, handle_check(L, 1, HANDLE_CACHE));
}

/* While another generation may come into force it is put off. Returns whether there was something. -0 +0 */
static bool forget(lua_State *L, struct cache_order *order, lua_CFunction function, const char *call) {
  struct arena arena;
  bool was_there = false, is_later = is_foreign(L);
  int options = order->kind == PURGE_ALL ? 2 : 3;
  order->cache = cache_check(L)->cache;
  if (!lua_isnoneornil(L, options) && !lua_istable(L, options))
    handle_raise(L, "%s: its options are a table, such as { soft = true }", call);
  order->is_soft = lua_istable(L, options) && flag_of(L, options, "soft");
  arena_init(&arena);
  const char *fault = is_later ? NULL : cache_forget(order, &arena, &was_there);
  arena_free(&arena);
  if (fault) handle_raise(L, "%s: %s", call, fault);
  if (is_later) shared_put_off(L, function);
  return was_there;
}

/* cache:purge(url, options): whether there was something -3 +1 */
static int purge(lua_State *L) {
  struct cache_order order = {.kind = PURGE_KEY, .what = text_at(L, 2)};
  lua_pushboolean(L, forget(L, &order, purge, "cache:purge"));
  return 1;
}

/* cache:purge_prefix(prefix, options) -3 +0 */
static int purge_prefix(lua_State *L) {
  struct cache_order order = {.kind = PURGE_PREFIX, .what = text_at(L, 2)};
  forget(L, &order, purge_prefix, "cache:purge_prefix");
  return 0;
}

/* cache:purge_tag(name, options) -3 +0 */
static int purge_tag(lua_State *L) {
  struct cache_order order = {.kind = PURGE_TAG, .what = text_at(L, 2)};
  forget(L, &order, purge_tag, "cache:purge_tag");
  return 0;
}

/* cache:purge_all(options) -2 +0 */
static int purge_all(lua_State *L) {
  struct cache_order order = {.kind = PURGE_ALL};
  forget(L, &order, purge_all, "cache:purge_all");
  return 0;
}

/* cache:stats() -1 +1 */
static int stats(lua_State *L) {
  struct cache *cache = cache_check(L)->cache;
  lua_newtable(L);
#define X(name) set_number(L, #name, (lua_Number)atomic_load(&cache_figures(cache)->name));
  CACHE_FIGURES(X)
#undef X
  set_number(L, "fills", (lua_Number)cache_fills(cache));
  return 1;
}

static const luaL_Reg methods[] = {
    {"size", size},
    {"purge", purge},
    {"purge_prefix", purge_prefix},
    {"purge_tag", purge_tag},
    {"purge_all", purge_all},
    {"stats", stats},
    {NULL, NULL},
};
static const luaL_Reg functions[] = {{"cache", new_cache}, {NULL, NULL}};

void open_cache(lua_State *L) {
  handle_define(L, HANDLE_CACHE, "perilune.cache", methods, NULL);
  handle_set_end(L, HANDLE_CACHE, shared_end);
  luaL_register(L, NULL, functions);
}
