// SPDX-License-Identifier: Apache-2.0
// profile_stack: the call stack of a coroutine as a text for shared/stacks.h: "request_filter;policy.lua:14 check;..".
//
// Frames. "policy.lua:14 check": a line of the policy, its path as from the script's directory, and the name by which
// the function was called, if it has one. "perilune/http.lua:88 get": one of ours. "[C] sort": a C function that has
// called Lua. "[C]", "[gc]", "[jit]" at the end: what the line did, where that is not Lua.
#ifndef PERILUNE_LUA_PROFILE_STACK_H
#define PERILUNE_LUA_PROFILE_STACK_H

#include <lua.h>
#include <stdbool.h>

#include "base/str.h"

struct vm;

enum { PROFILE_STACK_BYTES = 4096 };

struct profile_at {
  lua_State *L; /* the coroutine that runs, or waits */
  lua_State *
      outer; /* that of its task, where that is another: the policy's own has been resumed there; may be NULL */
  unsigned hook;    /* an enum hook, or TASK_NO_HOOK */
  const char *leaf; /* put at the end; NULL: nothing */
  bool
      was_in_c; /* LuaJIT calls back, and a C function has just returned: meant is the line that has called it */
};

/* Allocates nothing, in Lua neither. Valid in `room`. -0 +0 */
struct str profile_stack(struct vm *vm, const struct profile_at *at, char room[PROFILE_STACK_BYTES]);
/* The same of a turn that has ended meanwhile: the place of its function is all that is known. */
struct str profile_stack_late(unsigned hook, const char *place, char room[PROFILE_STACK_BYTES]);

#endif
