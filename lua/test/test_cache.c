// SPDX-License-Identifier: Apache-2.0
// test_cache: what a hook of the cache has said, as a table.
#include "lua/test/test_cache.h"

#include "exchange/cache_says.h"
#include "lua/vm/cache_results.h"
#include "lua/vm/push.h"

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
