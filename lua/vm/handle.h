// SPDX-License-Identifier: Apache-2.0
// handle: the userdata of the policy's API. Each begins with its kind, so checking an argument compares one
// word instead of looking up a metatable by name.
#ifndef PERILUNE_LUA_HANDLE_H
#define PERILUNE_LUA_HANDLE_H

#include <lauxlib.h>
#include <lua.h>
#include <stdint.h>

#include "base/list.h"
#include "lua/vm/parts.h"

/* The first member of every userdata of ours. */
struct handle {
  uint64_t tag;
  struct list link; /* in vm->kinds.handles, if its kind has an end */
};

struct vm;

/* Makes the metatable of a kind: `methods` are looked up by name, `metamethods` (may be NULL) go into the
 * metatable itself and may replace __index. It is closed: getmetatable gives the name. -0 +0 */
void handle_define(lua_State *L, enum handle_kind kind, const char *name, const luaL_Reg *methods,
                   const luaL_Reg *metamethods);
/* What is done when a handle of the kind is collected, or its VM ends. Behind handle_define. -0 +0 */
void handle_set_end(lua_State *L, enum handle_kind kind, handle_end_fn *end);
/* Ends all that are left. */
void handles_end(struct vm *vm);
/* For fields in addition to the methods: `index` becomes __index, with the table of methods as its upvalue. -0 +0 */
void handle_wrap_index(lua_State *L, enum handle_kind kind, lua_CFunction index);
/* Adds a method that may wait, in two parts given the same arguments: `start` parks the task unless there is
 * nothing to wait for, `finish` gives the results. -0 +0 */
void handle_add_waiting(lua_State *L, enum handle_kind kind, const char *name, lua_CFunction start,
                        lua_CFunction finish);
/* The same as a function, which is pushed. -0 +1 */
void handle_push_waiting(lua_State *L, lua_CFunction start, lua_CFunction finish);
/* Zeroed but for its tag. -0 +1 */
void *handle_new(lua_State *L, enum handle_kind kind, size_t bytes);
enum handle_kind handle_kind(const struct handle *handle);
/* NULL where the value is something else, or has ended. */
void *handle_test(lua_State *L, int index, enum handle_kind kind);
/* Raises where the value is something else. */
void *handle_check(lua_State *L, int index, enum handle_kind kind);
/* Is this, as lua_Debug has it, the source of one of our modules or default policies? */
bool handle_is_own_source(const struct vm *vm, const char *source);
/* The level of the policy's frame at `level` or above it. -0 +0 */
int handle_policys_level(lua_State *L, int level);
/* luaL_where of the policy's line at `level` or above it; where no code of the policy is under way, of `level`.
 * -0 +1 */
void handle_push_where(lua_State *L, int level);
/* luaL_error that is told at the policy's line: C, our modules and the default policies are passed over. -0 +0 */
int handle_raise(lua_State *L, const char *format, ...);
/* raise(text): the same for Lua. -1 +0 */
int handle_raise_text(lua_State *L);
/* The key of the table at `index` that a misspelt one was meant to be; NULL: none is near. -0 +0 */
const char *handle_nearest_key(lua_State *L, int index, const char *name);
/* Gives the table on top of the stack the metatable of a kind. -0 +0 */
void handle_set_metatable(lua_State *L, enum handle_kind kind);

/* Is argument 1 the module perilune, as in perilune:listen(...)? Then it raises. `call`: "perilune.listen". -0 +0 */
void handle_check_dot(lua_State *L, const char *call);

#endif
