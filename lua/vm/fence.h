// SPDX-License-Identifier: Apache-2.0
// fence: the functions of LuaJIT's libraries that a policy does not get, or gets in another form.
#ifndef PERILUNE_LUA_FENCE_H
#define PERILUNE_LUA_FENCE_H

#include <lua.h>

/* Behind luaL_openlibs. -0 +0 */
void open_fence(lua_State *L);
/* luaL_loadfile of regular files that hold text: another one may never end, and bytecode, which LuaJIT does not verify,
 * can crash it. -0 +1 */
int fence_load_file(lua_State *L, const char *path);

#endif
