// SPDX-License-Identifier: Apache-2.0
// spawn: tasks that other tasks start.
#ifndef PERILUNE_LUA_SPAWN_H
#define PERILUNE_LUA_SPAWN_H

#include <lua.h>

struct vm;

/* perilune.spawn(fn, ...) while a task runs: the handle of another one. -n +1 */
int spawn_task(lua_State *L);
/* Ends all of the background; those of exchanges end with them. */
void spawned_free(struct vm *vm);

#endif
