// SPDX-License-Identifier: Apache-2.0
// compress: the option `compress` of perilune.listen, and what a policy says of one response.
#ifndef PERILUNE_LUA_COMPRESS_H
#define PERILUNE_LUA_COMPRESS_H

#include <lua.h>

struct arena;
struct compression;

/* Of the options at `index`; NULL: off. Raises what is wrong with it. -0 +0 */
const struct compression *compress_read(lua_State *L, int index, struct arena *arena);
/* response:set_compression and set_decoded. -2 +0, -1 +1 */
int compress_set(lua_State *L);
int compress_set_decoded(lua_State *L);

#endif
