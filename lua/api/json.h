// SPDX-License-Identifier: Apache-2.0
// json: shared by the encoder and the decoder: which tables are arrays, and what has no value in Lua (null).
#ifndef PERILUNE_LUA_JSON_H
#define PERILUNE_LUA_JSON_H

#include <lua.h>
#include <stdbool.h>

/* Levels of arrays and objects, either way. */
enum { JSON_DEPTH = 100 };

/* The light userdata that stands for null is NULL; this one for an empty array. */
extern const char json_empty_array;

/* Arrays are marked by a metatable, so that an empty one is told from an empty object. -0 +0 */
void json_mark_array(lua_State *L, int index);
bool json_is_marked(lua_State *L, int index);

/* lua/api/json_encode.c: core.json_encode(value): its text; or nil and a sentence -1 +1 | -1 +2 */
int json_encode(lua_State *L);
/* lua/api/json_decode.c: core.json_decode(text): its value; or nil and a sentence -1 +1 | -1 +2 */
int json_decode(lua_State *L);

#endif
