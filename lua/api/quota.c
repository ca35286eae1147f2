// SPDX-License-Identifier: Apache-2.0
// quota: core.quota, which cluster of scripts/rate_limit.lua is built on: this process's part of a limit that several
// proxies share. Shared by all workers; lua/perilune/cluster_limit.lua reports what it has counted.
#include "shared/quota.h"

#include <lauxlib.h>
#include <xxhash.h>

#include "lua/api/shared.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"
#include "net/tls_crypto.h"

enum { PARTS = 16, COLLECT_MOST = 100000 };

struct quota_config {
  struct quota_rules rules;
  const struct clock *clock;
};

static void *make(const void *config) {
  const struct quota_config *wanted = config;
  return quota_new(&wanted->rules, wanted->clock);
}
static void release(void *object) { quota_free(object); }

/* A limit that a reload changes starts with empty counts, here and in the store. */
static bool fits(const void *object, const void *config) {
  const struct quota_rules *a = quota_rules(object), *b = &((const struct quota_config *)config)->rules;
  return a->max == b->max && a->burst == b->burst && a->interval_ms == b->interval_ms && a->keys == b->keys;
}
static const struct registry_kind kind = {"quota", make, release, fits, NULL};

/* --- arguments ------------------------------------------------------------------------------------------ */

/* core.quota({ max =, burst =, interval =, keys = }, name) -2 +1 */
static int new_quota(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 2);
  struct quota_config config = {.clock = vm_of(L)->host.clock};
  config.rules.max = shared_check_field(L, "rate_limit.cluster", "max", 1);
  config.rules.burst = shared_check_field(L, "rate_limit.cluster", "burst", 1);
  config.rules.interval_ms = shared_check_field(L, "rate_limit.cluster", "interval", 1000);
  config.rules.keys = shared_check_field(L, "rate_limit.cluster", "keys", 1);
  if (config.rules.keys > QUOTA_KEYS_MOST)
    return handle_raise(L, "rate_limit.cluster: keys must be from 1 to %d", QUOTA_KEYS_MOST);
  shared_check_room(L, "rate_limit.cluster", "keys", config.rules.keys, QUOTA_ENTRY_BYTES);
  shared_push(L, HANDLE_QUOTA, &kind, 2, &config);
  return 1;
}

/* -0 +0 */
static struct quota *check(lua_State *L) {
  return ((struct shared *)handle_check(L, 1, HANDLE_QUOTA))->object;
}

/* -0 +0 */
static struct quota *check_use(lua_State *L) {
  struct shared *shared = handle_check(L, 1, HANDLE_QUOTA);
  if (vm_of(L)->loading && shared_is_foreign(L, shared))
    handle_raise(L, "rate_limit: nothing is limited while the policy loads: see perilune.spawn");
  return shared->object;
}

/* The key at 2. In place of a long one its digest, behind a byte that no field has. -0 +0 */
static struct str check_key(lua_State *L, unsigned char digest[1 + DIGEST_BYTES_MAX]) {
  struct str key = text_at(L, 2);
  if (key.len <= QUOTA_KEY_BYTES) return key;
  digest[0] = 0;
  return (struct str){(const char *)digest, 1 + crypto_digest(DIGEST_SHA256, key, digest + 1)};
}

/* Keys are spread over parts, which a cluster of stores keeps in several places. The same on all proxies. */
static lua_Integer part_of(struct str key) { return (lua_Integer)(XXH3_64bits(key.ptr, key.len) % PARTS); }

/* --- deciding ------------------------------------------------------------------------------------------- */

/* quota:take(key): does it pass; how many more would; seconds until the bucket is full; until the next passes; true:
 * nobody has reported for long, and the caller is to do it. -2 +5 */
static int take(lua_State *L) {
  unsigned char digest[1 + DIGEST_BYTES_MAX];
  struct quota *q = check_use(L);
  struct quota_verdict verdict = quota_take(q, check_key(L, digest));
  lua_pushboolean(L, verdict.passes);
  lua_pushinteger(L, (lua_Integer)verdict.remaining);
  lua_pushnumber(L, (lua_Number)verdict.reset_ms / 1000);
  lua_pushnumber(L, (lua_Number)verdict.retry_ms / 1000);
  lua_pushboolean(L, quota_is_overdue(q));
  return 5;
}

/* quota:barred(key): seconds; nil: not -2 +1 */
static int barred(lua_State *L) {
  unsigned char digest[1 + DIGEST_BYTES_MAX];
  uint64_t left_ms = quota_barred(check_use(L), check_key(L, digest));
  if (left_ms == 0) return push_nil(L);
  lua_pushnumber(L, (lua_Number)left_ms / 1000);
  return 1;
}

/* quota:bar(key, seconds) -3 +0 */
static int bar(lua_State *L) {
  unsigned char digest[1 + DIGEST_BYTES_MAX];
  lua_Number seconds = luaL_checknumber(L, 3);
  struct str key = check_key(L, digest);
  if (seconds >= 0.001 && seconds <= 1e9) quota_bar(check_use(L), key, (uint64_t)(seconds * 1000));
  return 0;
}

/* quota:key(key): as it is called in the store, and its part -2 +2 */
static int key_of(lua_State *L) {
  unsigned char digest[1 + DIGEST_BYTES_MAX];
  check(L);
  struct str key = check_key(L, digest);
  push_text(L, key);
  lua_pushinteger(L, part_of(key));
  return 2;
}

/* --- reporting ------------------------------------------------------------------------------------------ */

/* quota:begin(): is a report due? -1 +1 */
static int begin(lua_State *L) {
  lua_pushboolean(L, quota_begin(check(L)));
  return 1;
}

/* quota:collect(most): a list of { key, part, hits, wanted, key, ... } -2 +1 */
static int collect(lua_State *L) {
  struct quota *q = check(L);
  lua_Number most = luaL_checknumber(L, 2);
  luaL_argcheck(L, most >= 1 && most <= COLLECT_MOST, 2, "a number of keys");
  struct quota_report *reports = lua_newuserdata(L, (size_t)most * sizeof *reports);
  unsigned count = quota_collect(q, reports, (unsigned)most);
  lua_createtable(L, (int)count * 4, 0);
  for (unsigned i = 0; i < count; i++) {
    struct str key = {reports[i].key, reports[i].length};
    push_text(L, key);
    lua_rawseti(L, -2, (int)i * 4 + 1);
    lua_pushinteger(L, part_of(key));
    lua_rawseti(L, -2, (int)i * 4 + 2);
    lua_pushinteger(L, (lua_Integer)reports[i].hits);
    lua_rawseti(L, -2, (int)i * 4 + 3);
    lua_pushinteger(L, (lua_Integer)reports[i].wanted);
    lua_rawseti(L, -2, (int)i * 4 + 4);
  }
  return 1;
}

/* quota:settle(key, balance, demand) -4 +0 */
static int settle(lua_State *L) {
  unsigned char digest[1 + DIGEST_BYTES_MAX];
  lua_Number balance = luaL_checknumber(L, 3), demand = luaL_checknumber(L, 4);
  quota_settle(check(L), check_key(L, digest), balance, demand);
  return 0;
}

/* quota:restore(key, hits) -3 +0 */
static int restore(lua_State *L) {
  unsigned char digest[1 + DIGEST_BYTES_MAX];
  quota_restore(check(L), check_key(L, digest), (unsigned)luaL_checkinteger(L, 3));
  return 0;
}

/* quota:reported(was_answered): is the store away, or back, by that? -2 +1 */
static int reported(lua_State *L) {
  lua_pushboolean(L, quota_reported(check(L), lua_toboolean(L, 2)));
  return 1;
}

/* quota:is_away() -1 +1 */
static int is_away(lua_State *L) {
  lua_pushboolean(L, quota_is_away(check(L)));
  return 1;
}

/* quota:node() -1 +1 */
static int node(lua_State *L) {
  lua_pushstring(L, quota_node(check(L)));
  return 1;
}

/* quota:nodes([count]): how many there are from now on; or are -2 +1 */
static int nodes(lua_State *L) {
  struct quota *q = check(L);
  if (!lua_isnoneornil(L, 2)) {
    lua_Number count = luaL_checknumber(L, 2);
    luaL_argcheck(L, count >= 1 && count <= 1e6, 2, "a number of proxies");
    quota_set_nodes(q, (unsigned)count);
  }
  lua_pushinteger(L, (lua_Integer)quota_nodes(q));
  return 1;
}

/* quota:counts(): passed, refused, lost since the last call -1 +3 */
static int counts(lua_State *L) {
  struct quota_counts sum = quota_take_counts(check(L));
  lua_pushnumber(L, (lua_Number)sum.passed);
  lua_pushnumber(L, (lua_Number)sum.refused);
  lua_pushnumber(L, (lua_Number)sum.lost);
  return 3;
}

static const luaL_Reg methods[] = {
    {"take", take},         {"bar", bar},         {"barred", barred}, {"key", key_of},
    {"begin", begin},       {"collect", collect}, {"settle", settle}, {"restore", restore},
    {"reported", reported}, {"is_away", is_away}, {"node", node},     {"nodes", nodes},
    {"counts", counts},     {NULL, NULL},
};
static const luaL_Reg functions[] = {{"quota", new_quota}, {NULL, NULL}};

void open_quota(lua_State *L) {
  handle_define(L, HANDLE_QUOTA, "perilune.quota", methods, NULL);
  handle_set_end(L, HANDLE_QUOTA, shared_end);
  luaL_register(L, NULL, functions);
}
