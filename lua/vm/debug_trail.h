// SPDX-License-Identifier: Apache-2.0
// debug_trail: is a line event of LuaJIT's hook a new line, or the same one again? LuaJIT also tells a line when a
// function that the line has called returns, and when a coroutine goes on. So for each coroutine the last line of each
// frame is kept; a call forgets what was known of that frame and those above it.
#ifndef PERILUNE_LUA_DEBUG_TRAIL_H
#define PERILUNE_LUA_DEBUG_TRAIL_H

#include <lua.h>
#include <stdbool.h>

/* A function begins in this frame. -0 +0 */
void trail_call(lua_State *L, int frame);
/* A line is told. True: it is another one than the frame was at. A loop within one line is one line. -0 +0 */
bool trail_line(lua_State *L, int frame, int line);

#endif
