// SPDX-License-Identifier: Apache-2.0
// cap: what happens when a VM's memory is at its limit.
#ifndef PERILUNE_LUA_CAP_H
#define PERILUNE_LUA_CAP_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

struct allocator;
struct vm;

/* string.rep refuses what cannot be had, before it begins. -0 +0 */
void open_cap(lua_State *L);
/* Sets the limit: see perilune.configure's memory_limit. */
void cap_set(struct vm *vm, size_t bytes);
/* What VM and exchanges may hold together, where `bytes` are asked for: a little has head-room. */
size_t cap_for_loan(const struct vm *vm, size_t bytes);
/* The allocator's question: see allocator.h. */
bool cap_beyond(struct allocator *a, size_t more);
/* The turn has ended. */
void cap_stop(struct vm *vm);
/* From Lua's hook, behind cap_stop: collects, and raises where that does not help. -0 +0 */
void cap_heed(lua_State *L);

#endif
