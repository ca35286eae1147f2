// SPDX-License-Identifier: Apache-2.0
// hooks: the policy's functions that implement the proxy's struct hooks.
//
// To add a phase: first its line in exchange/hooks.h; then the arguments of its Lua function, in `given` of
// lua/vm/hook_call.c, and the use of its results, in `leave` of lua/vm/hooks.c.
#ifndef PERILUNE_LUA_HOOKS_H
#define PERILUNE_LUA_HOOKS_H

#include <lua.h>

struct arena;
struct lua_hooks;

/* Takes the hooks out of the table at `index`; raises where it has something else under a hook's name, or a
 * function under a name that is no hook's. Memory from `arena`, which lives as long as the policy. -0 +0 */
struct lua_hooks *hooks_read(lua_State *L, int index, struct arena *arena);

#endif
