// SPDX-License-Identifier: Apache-2.0
// dict_list: the methods of perilune.dict for values that are lists.
#include <lauxlib.h>

#include "lua/api/dict.h"
#include "lua/vm/push.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"

/* How many there are, or nil and the reason. -3 +1 | -3 +2 */
static int push_item(lua_State *L, lua_CFunction call, enum dict_end end) {
  struct dict *dict = dict_check(L);
  struct str key = text_at(L, 2);
  struct dict_value value = dict_check_value(L);
  unsigned count = 0;
  if (value.type == DICT_BOOLEAN)
    return handle_raise(L, "a list of a dict keeps strings and numbers, not a boolean value");
  bool is_foreign = dict_is_foreign(L);
  enum dict_result result =
      is_foreign ? dict_length(dict, key, &count) : dict_push(dict, key, &value, end, &count);
  if (is_foreign && result == DICT_OK) result = dict_later(L, call, key, &value);
  if (result != DICT_OK) return dict_push_result(L, result);
  lua_pushinteger(L, (lua_Integer)count + is_foreign);
  return 1;
}

/* The value; nil where there is none; nil and the reason. -2 +1 | -2 +2 */
static int pop_item(lua_State *L, enum dict_end end) {
  struct dict *dict = dict_check(L);
  struct dict_value value;
  if (dict_is_foreign(L))
    return handle_raise(L, "what is in use cannot be taken out of a dict while the policy loads");
  enum dict_result result = dict_pop(dict, text_at(L, 2), end, &value, &vm_of(L)->scratch);
  if (result == DICT_ABSENT) return push_nil(L);
  return result == DICT_OK ? dict_push_value(L, &value) : dict_push_result(L, result);
}

int dict_list_push_front(lua_State *L) { return push_item(L, dict_list_push_front, DICT_FRONT); }
int dict_list_push_back(lua_State *L) { return push_item(L, dict_list_push_back, DICT_BACK); }
int dict_list_pop_front(lua_State *L) { return pop_item(L, DICT_FRONT); }
int dict_list_pop_back(lua_State *L) { return pop_item(L, DICT_BACK); }

/* -2 +1 | -2 +2 */
int dict_list_length(lua_State *L) {
  unsigned count;
  enum dict_result result = dict_length(dict_check(L), text_at(L, 2), &count);
  if (result != DICT_OK) return dict_push_result(L, result);
  lua_pushinteger(L, (lua_Integer)count);
  return 1;
}
