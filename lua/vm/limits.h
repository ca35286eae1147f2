// SPDX-License-Identifier: Apache-2.0
// limits: the settings of perilune.configure that are a VM's own: hook_time, memory_limit, jit.
#ifndef PERILUNE_LUA_LIMITS_H
#define PERILUNE_LUA_LIMITS_H

#include <lua.h>
#include <stdbool.h>

struct vm;

/* Around the run of the policy's main chunk. */
void limits_begin_load(struct vm *vm);
void limits_end_load(struct vm *vm);

#define LIMITS_NAMES "hook_time, load_time, jit, memory_limit"
/* Takes the value on top of the stack, if `name` is one of these settings; raises where it makes no sense.
 * -0 +0 */
bool limits_set(lua_State *L, const char *name);
/* -0 +0 */
void open_limits(lua_State *L);

#endif
