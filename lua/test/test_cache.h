// SPDX-License-Identifier: Apache-2.0
// test_cache: what specs see of the cache in exchanges without connections.
#ifndef PERILUNE_LUA_TEST_CACHE_H
#define PERILUNE_LUA_TEST_CACHE_H

#include <lua.h>

struct cache_says;

/* As the field `cache` of the table on top. -0 +0 */
void test_push_cache_says(lua_State *L, const struct cache_says *says);

/* Methods of the bench: see exchange/cache_rehearsal.h. */
/* bench:cache_step("look_up" | "head" | "rescue"): how the walk goes on -2 +1 */
int test_cache_step(lua_State *L);
/* bench:cache_body(text): the peer's body, if the cache waits for it; false: it is not as long as announced, nil: it
 * does not wait -2 +1 */
int test_cache_body(lua_State *L);
/* bench:cache_text(): the body of what is served -1 +1 */
int test_cache_text(lua_State *L);
/* bench:cache_result(): "hit", "miss", ...; nil: the request is not for a cache -1 +1 */
int test_cache_result(lua_State *L);
/* bench:cache_refresh(other): other asks in the background for what was served stale; false: nobody has to -2 +1 */
int test_cache_refresh(lua_State *L);

#endif
