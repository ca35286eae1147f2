// SPDX-License-Identifier: Apache-2.0
// modules: where `require`, dofile and loadfile look for files, and the messages if there is none.
#ifndef PERILUNE_LUA_MODULES_H
#define PERILUNE_LUA_MODULES_H

#include <lua.h>

/* The directory that has our lua/ and scripts/ in it becomes vm->library; raises where there is none. Behind
 * open_fence, whose loadfile it uses. -0 +0 */
void open_modules(lua_State *L);
/* Pushes the set of the files that dofile and loadfile have read: their paths are its keys. -0 +1 */
void modules_push_files(lua_State *L);

#endif
