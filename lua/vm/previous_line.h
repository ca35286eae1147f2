// SPDX-License-Identifier: Apache-2.0
// previous_line: the line of the call that has just returned. When LuaJIT's profiler calls back after a C function,
// the function that has called it is at the next instruction, which may be of the next line: so the line that took the
// time would never be named. No function of LuaJIT's tells where it was before. So this file reads two words of
// LuaJIT's own: the place of the C frame in a lua_State, and that of the instruction in the frame. The frame also has
// the address of the lua_State, by which it is known for certain; where that is not so, on other processors too,
// nothing is changed.
#ifndef PERILUNE_LUA_PREVIOUS_LINE_H
#define PERILUNE_LUA_PREVIOUS_LINE_H

#include <lua.h>

/* In a callback of LuaJIT, with level 0 of L in `at`, whose currentline is known: that of the instruction before. */
int previous_line(lua_State *L, const lua_Debug *at);

#endif
