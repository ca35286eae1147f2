// SPDX-License-Identifier: Apache-2.0
// stack: how much of its C stack a thread has left. LuaJIT bounds Lua's stack, but not C's.
#ifndef PERILUNE_LUA_STACK_H
#define PERILUNE_LUA_STACK_H

#include <lua.h>

/* Raises where it is. For C functions that call Lua and have large frames, or none of Lua's limits. -0 +0 */
void stack_check(lua_State *L);
/* The same before a coroutine is resumed. -0 +0 */
void stack_check_coroutine(lua_State *L);

#endif
