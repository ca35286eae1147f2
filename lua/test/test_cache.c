// SPDX-License-Identifier: Apache-2.0
// test_cache: what a hook of the cache has said, as a table; and the cache of an exchange without connections.
#include "lua/test/test_cache.h"

#include <lauxlib.h>

#include "exchange/cache.h"
#include "exchange/cache_rehearsal.h"
#include "exchange/cache_says.h"
#include "exchange/rehearsal.h"
#include "lua/test/test_bench.h"
#include "lua/vm/cache_results.h"
#include "lua/vm/push.h"
#include "lua/vm/text.h"

/* -0 +0 */
static void set_texts(lua_State *L, const char *name, const struct str *texts, unsigned count) {
  if (!texts) return;
  lua_createtable(L, (int)count, 0);
  for (unsigned i = 0; i < count; i++) {
    push_text(L, texts[i]);
    lua_rawseti(L, -2, (int)i + 1);
  }
  lua_setfield(L, -2, name);
}

void test_push_cache_says(lua_State *L, const struct cache_says *says) {
  lua_newtable(L);
  if (says->verdict) set_flag(L, "verdict", says->verdict == CACHE_VERDICT_YES);
  if (says->force) set_text(L, "force", str_of(cache_force_names[says->force]));
  if (says->text.ptr) set_text(L, "key", says->text);
  if (says->has_ttl) set_number(L, "ttl", says->ttl_s);
  if (says->has_while_revalidate) set_number(L, "stale_while_revalidate", says->while_revalidate_s);
  if (says->has_if_error) set_number(L, "stale_if_error", says->if_error_s);
  if (says->has_lock_wait) set_number(L, "lock_wait", says->lock_wait_ms / 1000.0);
  if (says->object_most) set_number(L, "max_object", (lua_Number)says->object_most);
  set_texts(L, "tags", says->tags, says->tag_count);
  set_texts(L, "strip", says->strip, says->strip_count);
  lua_setfield(L, -2, "cache");
}

static struct exchange *exchange_at(lua_State *L, int index) {
  return rehearsal_exchange(test_bench_check(L, index));
}

int test_cache_step(lua_State *L) {
  static const char *const steps[] = {"look_up", "head", "rescue", NULL};
  static enum cached_way (*const functions[])(struct exchange * x) = {
      cache_rehearse_look_up, cache_rehearse_head, cache_rehearse_rescue};
  static const char *const ways[] = {
#define X(id, name) name,
      CACHED_WAYS(X)
#undef X
  };
  struct exchange *x = exchange_at(L, 1);
  lua_pushstring(L, ways[functions[luaL_checkoption(L, 2, NULL, steps)](x)]);
  return 1;
}

int test_cache_body(lua_State *L) {
  struct exchange *x = exchange_at(L, 1);
  if (!cache_rehearse_keeps(x)) return 0;
  lua_pushboolean(L, cache_rehearse_body(x, text_at(L, 2)));
  return 1;
}

int test_cache_text(lua_State *L) { return push_text(L, cache_rehearse_text(exchange_at(L, 1))); }

int test_cache_result(lua_State *L) {
  enum cache_result result = cache_result_of(exchange_at(L, 1));
  if (result == CACHE_RESULT_NONE) return 0;
  lua_pushstring(L, cache_result_name(result));
  return 1;
}

int test_cache_refresh(lua_State *L) {
  struct exchange *x = exchange_at(L, 1), *other = exchange_at(L, 2);
  lua_pushboolean(L, cache_rehearse_wants_refresh(x) && cache_rehearse_refresh(other, x));
  return 1;
}
