// SPDX-License-Identifier: Apache-2.0
// cache: the object that perilune.cache gives, as other options name it.
#ifndef PERILUNE_LUA_CACHE_H
#define PERILUNE_LUA_CACHE_H

#include <lua.h>
#include <stdbool.h>

struct arena;
struct kept_cache;
struct option;

/* The option `cache`: a struct cache_rules in arena memory, whose pointer is put to `to`. -0 +0 */
bool cache_read_option(lua_State *L, const struct option *option, void *to, struct arena *arena);

/* The cache at index 1; raises where there is another thing. -0 +0 */
const struct kept_cache *cache_check(lua_State *L);

#endif
