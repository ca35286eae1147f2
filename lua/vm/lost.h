// SPDX-License-Identifier: Apache-2.0
// lost: a Lua state that is given up, because it has reached a limit at a place where Lua cannot raise an error.
//
// Such a state is not used again. Its VM stays, with an empty state instead: C objects that belong to it end as
// usual, tasks that wait in it fail, and nothing runs in it. The runtime loads the policy again.
#ifndef PERILUNE_LUA_LOST_H
#define PERILUNE_LUA_LOST_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lua/vm/parts.h"

struct vm;

/* Is there one call of Lua on the C stack, and one only? What is between two of them must not be left out. */
bool lost_can_land(const struct vm *vm);
/* Leaves that call. From the allocator, or from a signal's handler that has found lost_is_lua. */
void lost_give_up(struct vm *vm, enum lost why) __attribute__((noreturn));
/* At the landing: puts an empty state in place of the lost one. */
void lost_replace(struct vm *vm);

/* Where the signal has interrupted the thread. */
uintptr_t lost_pc(const void *context);
/* Is that in the interpreter's own code, or in the code that lost_find_code has found? Safe in a handler. */
bool lost_is_lua(const struct watch *watch, uintptr_t pc);
/* Is it in that code, which the JIT compiler has made? */
bool lost_is_compiled(const struct watch *watch, uintptr_t pc);
/* Looks whether the place the signal has found last is machine code of the JIT compiler. The watchdog's thread. */
void lost_find_code(struct watch *watch);

/* -0 +0 */
void open_lost(lua_State *L);

#endif
