// SPDX-License-Identifier: Apache-2.0
// dict: shared by the files of perilune.dict: the arguments that all methods have, and their results.
#ifndef PERILUNE_LUA_DICT_H
#define PERILUNE_LUA_DICT_H

#include "lua/api/shared.h"
#include "shared/dict.h"

/* The dict that is argument 1. -0 +0 */
struct dict *dict_check(lua_State *L);
/* Is it in use, while the policy loads, which may still be refused? -0 +0 */
bool dict_is_foreign(lua_State *L);
/* Argument 3. -0 +0 */
struct dict_value dict_check_value(lua_State *L);
/* Puts off what would be DICT_OK. -0 +0 */
enum dict_result dict_later(lua_State *L, lua_CFunction call, struct str key, const struct dict_value *value);
/* true, or nil and the reason. -0 +1 | -0 +2 */
int dict_push_result(lua_State *L, enum dict_result result);
/* Of dict_get, whose text is in the vm's scratch. -0 +1 */
int dict_push_value(lua_State *L, const struct dict_value *value);

/* lua/api/dict_list.c: dict:push_front(key, value), and so on. */
int dict_list_push_front(lua_State *L);
int dict_list_push_back(lua_State *L);
int dict_list_pop_front(lua_State *L);
int dict_list_pop_back(lua_State *L);
int dict_list_length(lua_State *L);

#endif
