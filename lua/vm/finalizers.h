// SPDX-License-Identifier: Apache-2.0
// finalizers: what a policy's finalizers (__gc) may do.
#ifndef PERILUNE_LUA_FINALIZERS_H
#define PERILUNE_LUA_FINALIZERS_H

#include <lua.h>

/* Behind luaL_openlibs. -0 +0 */
void open_finalizers(lua_State *L);

#endif
