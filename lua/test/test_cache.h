// SPDX-License-Identifier: Apache-2.0
// test_cache: what specs see of the cache in exchanges without connections.
#ifndef PERILUNE_LUA_TEST_CACHE_H
#define PERILUNE_LUA_TEST_CACHE_H

#include <lua.h>

struct cache_says;

/* As the field `cache` of the table on top. -0 +0 */
void test_push_cache_says(lua_State *L, const struct cache_says *says);

#endif
