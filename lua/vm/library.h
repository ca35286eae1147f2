// SPDX-License-Identifier: Apache-2.0
// library: the C half of `require "perilune"`.
#ifndef PERILUNE_LUA_LIBRARY_H
#define PERILUNE_LUA_LIBRARY_H

#include <lua.h>

/* Makes the module perilune.core and all metatables. -0 +0 */
void open_library(lua_State *L);

#endif
