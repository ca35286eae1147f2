// SPDX-License-Identifier: Apache-2.0
// dict: perilune.dict(name, { size = bytes }): a dictionary of strings, numbers and booleans that all workers
// share. Functions that can fail return nil and the reason; a value of another type raises an error.
#include "lua/api/dict.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"

struct dict_config {
  size_t bytes;
  const struct clock *clock;
};

static void *make(const void *config) {
  const struct dict_config *wanted = config;
  return dict_new(wanted->bytes, wanted->clock);
}
static void release(void *object) { dict_free(object); }
/* With another size it starts empty. */
static bool fits(const void *object, const void *config) {
  return dict_bytes(object) == ((const struct dict_config *)config)->bytes;
}
static const struct registry_kind kind = {"dict", make, release, fits, NULL};

/* core.dict(name, bytes) -2 +1 */
static int new_dict(lua_State *L) {
  lua_Number bytes = luaL_checknumber(L, 2);
  shared_check_size(L, "perilune.dict", bytes, 65536, "65536 bytes");
  struct dict_config config = {(size_t)bytes, vm_of(L)->host.clock};
  shared_push(L, HANDLE_DICT, &kind, 1, &config);
  return 1;
}

/* --- arguments ------------------------------------------------------------------------------------------ */

bool dict_is_foreign(lua_State *L) {
  return vm_of(L)->loading && shared_is_foreign(L, handle_check(L, 1, HANDLE_DICT));
}

struct dict *dict_check(lua_State *L) {
  return ((struct shared *)handle_check(L, 1, HANDLE_DICT))->object;
}

static struct str check_key(lua_State *L) { return text_at(L, 2); }

struct dict_value dict_check_value(lua_State *L) {
  struct dict_value value = {.type = DICT_BOOLEAN};
  if (lua_type(L, 3) == LUA_TNUMBER) {
    value.type = DICT_NUMBER;
    value.number = lua_tonumber(L, 3);
  } else if (lua_type(L, 3) == LUA_TSTRING) {
    value.type = DICT_STRING;
    value.string.ptr = lua_tolstring(L, 3, &value.string.len);
  } else if (lua_isboolean(L, 3)) {
    value.boolean = lua_toboolean(L, 3);
  } else {
    luaL_error(L, "a dict keeps strings, numbers and booleans, not a %s value (see perilune.json)",
               luaL_typename(L, 3));
  }
  return value;
}

/* Seconds at `index`; 0 without: for ever. -0 +0 */
static uint64_t check_ttl(lua_State *L, int index) {
  if (lua_isnoneornil(L, index)) return 0;
  lua_Number seconds = luaL_checknumber(L, index);
  if (!(seconds >= 0.001 && seconds <= 1e9))
    luaL_error(L, "a time to live is from 0.001 to 1e9 seconds; nil: for ever");
  return (uint64_t)(seconds * 1000 + 0.5);
}

/* What set, add and replace are told beside the value, at 4 and 5: the time to live, and { spare = true, flags = 7 }.
 * -0 +0 */
static struct dict_put check_how(lua_State *L, struct dict_value *value) {
  struct dict_put how = {.ttl_ms = check_ttl(L, 4)};
  if (lua_isnoneornil(L, 5)) return how;
  luaL_checktype(L, 5, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, 5); lua_pop(L, 1)) {
    const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
    lua_Number flags = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;
    if (strcmp(name, "spare") == 0 && lua_isboolean(L, -1))
      how.spares = lua_toboolean(L, -1);
    else if (strcmp(name, "flags") == 0 && flags >= 0 && flags <= UINT32_MAX && flags == floor(flags))
      value->flags = (uint32_t)flags;
    else
      handle_raise(L,
                   "dict: unknown or unfit option '%s'; valid are spare (true or false) and flags (a whole "
                   "number of 32 bits)",
                   name);
  }
  return how;
}

enum dict_result dict_later(lua_State *L, lua_CFunction call, struct str key,
                            const struct dict_value *value) {
  const struct dict *dict = ((struct shared *)handle_check(L, 1, HANDLE_DICT))->object;
  size_t bytes = key.len + (value && value->type == DICT_STRING ? value->string.len : 0);
  if (bytes > dict_entry_bytes_max(dict)) return DICT_TOO_LARGE;
  shared_put_off(L, call);
  return DICT_OK;
}

int dict_push_result(lua_State *L, enum dict_result result) {
  return push_true_or_why(L, result == DICT_OK ? NULL : dict_result_text(result));
}

/* --- methods -------------------------------------------------------------------------------------------- */

/* Raising for want of memory must not lose the text: the vm owns it. */
int dict_push_value(lua_State *L, const struct dict_value *value) {
  struct buf *text = &vm_of(L)->scratch;
  switch (value->type) {
  case DICT_STRING: lua_pushlstring(L, value->string.ptr, value->string.len); break;
  case DICT_NUMBER: lua_pushnumber(L, value->number); break;
  case DICT_BOOLEAN: lua_pushboolean(L, value->boolean); break;
  case DICT_LIST: lua_pushnil(L); break; /* never comes out */
  }
  if (text->cap > BLOCK_LARGEST) buf_release(text);
  return 1;
}

/* Its flags, if it has any; else nil. -0 +1 */
static void push_flags(lua_State *L, const struct dict_value *value) {
  if (value->flags)
    lua_pushnumber(L, (lua_Number)value->flags);
  else
    lua_pushnil(L);
}

/* dict:get(key): the value, and its flags if it has any; nil where there is none; nil and a message for a list
 * -2 +1 | -2 +2 */
static int get(lua_State *L) {
  struct dict *dict = dict_check(L);
  struct dict_value value;
  enum dict_result result = dict_get(dict, check_key(L), &value, &vm_of(L)->scratch);
  if (result == DICT_ABSENT) return push_nil(L);
  if (result != DICT_OK) return dict_push_result(L, result);
  dict_push_value(L, &value);
  if (!value.flags) return 1;
  push_flags(L, &value);
  return 2;
}

/* dict:get_stale(key): the value, whether it has expired, and its flags; nil where there is none -2 +3 | -2 +1 */
static int get_stale(lua_State *L) {
  struct dict *dict = dict_check(L);
  struct dict_value value;
  bool is_stale;
  enum dict_result result = dict_get_stale(dict, check_key(L), &value, &vm_of(L)->scratch, &is_stale);
  if (result == DICT_ABSENT) return push_nil(L);
  if (result != DICT_OK) return dict_push_result(L, result);
  dict_push_value(L, &value);
  lua_pushboolean(L, is_stale);
  push_flags(L, &value);
  return 3;
}

/* True; and nil and true behind it where something that lived was removed. -0 +1 | -0 +3 | -0 +2 */
static int push_put(lua_State *L, enum dict_result result, const struct dict_put *how) {
  int count = dict_push_result(L, result);
  if (result != DICT_OK || !how->removed) return count;
  lua_pushnil(L);
  lua_pushboolean(L, 1);
  return 3;
}

/* What dict_put would give for a dict in use, while the policy loads. -0 +0 */
static enum dict_result put_later(lua_State *L, lua_CFunction call, struct str key,
                                  const struct dict_value *value, enum dict_when when) {
  uint64_t left_ms;
  bool exists = when != DICT_ALWAYS && dict_ttl(dict_check(L), key, &left_ms) == DICT_OK;
  if (when == DICT_IF_ABSENT && exists) return DICT_EXISTS;
  if (when == DICT_IF_PRESENT && !exists) return DICT_ABSENT;
  return dict_later(L, call, key, value);
}

/* -5 +1 | -5 +2 | -5 +3 */
static int store(lua_State *L, lua_CFunction call, enum dict_when when) {
  struct dict *dict = dict_check(L);
  struct str key = check_key(L);
  struct dict_value value = dict_check_value(L);
  struct dict_put how = check_how(L, &value);
  how.when = when;
  if (dict_is_foreign(L)) return dict_push_result(L, put_later(L, call, key, &value, when));
  enum dict_result result = dict_put(dict, key, &value, &how);
  return push_put(L, result, &how);
}

/* dict:set(key, value [, ttl [, options]]); a value of nil deletes */
static int set(lua_State *L) {
  if (!lua_isnoneornil(L, 3)) return store(L, set, DICT_ALWAYS);
  struct dict *dict = dict_check(L);
  struct str key = check_key(L);
  check_ttl(L, 4);
  if (dict_is_foreign(L))
    shared_put_off(L, set);
  else
    dict_delete(dict, key);
  return dict_push_result(L, DICT_OK);
}

/* dict:add(key, value [, ttl [, options]]): only where there is none */
static int add(lua_State *L) { return store(L, add, DICT_IF_ABSENT); }

/* dict:replace(key, value [, ttl [, options]]): only where there is one */
static int replace(lua_State *L) { return store(L, replace, DICT_IF_PRESENT); }

/* dict:expire(key [, ttl]): from now on; nil: never -3 +1 | -3 +2 */
static int expire(lua_State *L) {
  struct dict *dict = dict_check(L);
  struct str key = check_key(L);
  uint64_t ttl_ms = check_ttl(L, 3), left_ms;
  if (!dict_is_foreign(L)) return dict_push_result(L, dict_expire(dict, key, ttl_ms));
  bool exists = dict_ttl(dict, key, &left_ms) == DICT_OK;
  return dict_push_result(L, exists ? dict_later(L, expire, key, NULL) : DICT_ABSENT);
}

static int incr(lua_State *L);

/* What dict_incr would give. -0 +0 */
static enum dict_result incr_later(lua_State *L, struct str key, double delta, const struct dict_start *start,
                                   double *sum) {
  struct dict_value value;
  struct buf *text = &vm_of(L)->scratch;
  bool exists = dict_get(dict_check(L), key, &value, text) == DICT_OK;
  if (!exists && !start) return DICT_ABSENT;
  if (exists && value.type != DICT_NUMBER) return DICT_NOT_A_NUMBER;
  *sum = (exists ? value.number : start->number) + delta;
  return dict_later(L, incr, key, NULL);
}

/* dict:incr(key [, by [, from [, ttl]]]): the sum. Without `from` the key must be there. -5 +1 | -5 +2 */
static int incr(lua_State *L) {
  struct dict *dict = dict_check(L);
  struct str key = check_key(L);
  lua_Number by = luaL_optnumber(L, 3, 1);
  struct dict_start start = {luaL_optnumber(L, 4, 0), check_ttl(L, 5)};
  double sum;
  const struct dict_start *from = lua_isnoneornil(L, 4) ? NULL : &start;
  enum dict_result result =
      dict_is_foreign(L) ? incr_later(L, key, by, from, &sum) : dict_incr(dict, key, by, from, &sum);
  if (result != DICT_OK) return dict_push_result(L, result);
  lua_pushnumber(L, sum);
  return 1;
}

/* dict:delete(key): whether there was one -2 +1 */
static int delete (lua_State *L) {
  struct dict *dict = dict_check(L);
  struct str key = check_key(L);
  uint64_t left_ms;
  if (dict_is_foreign(L)) {
    shared_put_off(L, delete);
    lua_pushboolean(L, dict_ttl(dict, key, &left_ms) == DICT_OK);
    return 1;
  }
  lua_pushboolean(L, dict_delete(dict, key));
  return 1;
}

/* dict:ttl(key): seconds left; math.huge: for ever; nil where there is none -2 +1 */
static int ttl(lua_State *L) {
  struct dict *dict = dict_check(L);
  uint64_t left_ms;
  if (dict_ttl(dict, check_key(L), &left_ms) != DICT_OK) return push_nil(L);
  lua_pushnumber(L, left_ms ? (lua_Number)left_ms / 1000 : HUGE_VAL);
  return 1;
}

/* The list that keys gives, freed also where pushing its texts raises. */
struct key_list {
  struct handle handle;
  struct str *keys; /* owned */
};

static void end_keys(void *ended) {
  struct key_list *list = ended;
  free(list->keys);
  list->keys = NULL;
}

/* dict:keys([max]): at most so many (1000), in no order -2 +1 */
static int keys(lua_State *L) {
  struct dict *dict = dict_check(L);
  lua_Number max = luaL_optnumber(L, 2, 1000);
  unsigned count;
  if (!(max >= 0 && max <= 1e6)) return luaL_error(L, "dict:keys: expected a number up to 1000000");
  struct key_list *list = handle_new(L, HANDLE_KEY_LIST, sizeof *list);
  list->keys = dict_keys(dict, (unsigned)max, &count);
  lua_createtable(L, (int)count, 0);
  for (unsigned i = 0; i < count; i++) {
    lua_pushlstring(L, list->keys[i].ptr, list->keys[i].len);
    lua_rawseti(L, -2, (int)i + 1);
  }
  free(list->keys);
  list->keys = NULL;
  return 1;
}

/* dict:flush_expired([max]): how many were removed -2 +1 */
static int flush_expired(lua_State *L) {
  struct dict *dict = dict_check(L);
  lua_Number max = luaL_optnumber(L, 2, 0);
  if (!(max >= 0 && max <= UINT32_MAX))
    return luaL_error(L, "dict:flush_expired: expected a number, 0 or more");
  unsigned most = max == 0 ? UINT32_MAX : (unsigned)max;
  lua_pushinteger(L, (lua_Integer)(dict_is_foreign(L) ? 0 : dict_flush_expired(dict, most)));
  return 1;
}

/* dict:expire_all(): all expire, and can still be got as stale -1 +0 */
static int expire_all(lua_State *L) {
  struct dict *dict = dict_check(L);
  if (dict_is_foreign(L))
    shared_put_off(L, expire_all);
  else
    dict_expire_all(dict);
  return 0;
}

/* dict:flush() -1 +0 */
static int flush(lua_State *L) {
  struct dict *dict = dict_check(L);
  if (dict_is_foreign(L))
    shared_put_off(L, flush);
  else
    dict_flush(dict);
  return 0;
}

/* dict:used(): bytes that it takes now, its own tables included; never more than its size -1 +1 */
static int used(lua_State *L) {
  lua_pushnumber(L, (lua_Number)dict_used_bytes(dict_check(L)));
  return 1;
}

/* -1 +1 */
static int size(lua_State *L) {
  lua_pushnumber(L, (lua_Number)dict_bytes(dict_check(L)));
  return 1;
}

static const luaL_Reg methods[] = {
    {"get", get},
    {"get_stale", get_stale},
    {"set", set},
    {"add", add},
    {"replace", replace},
    {"incr", incr},
    {"delete", delete},
    {"ttl", ttl},
    {"expire", expire},
    {"keys", keys},
    {"flush", flush},
    {"flush_expired", flush_expired},
    {"expire_all", expire_all},
    {"push_front", dict_list_push_front},
    {"push_back", dict_list_push_back},
    {"pop_front", dict_list_pop_front},
    {"pop_back", dict_list_pop_back},
    {"length", dict_list_length},
    {"used", used},
    {"size", size},
    {NULL, NULL},
};
static const luaL_Reg no_methods[] = {{NULL, NULL}};
static const luaL_Reg functions[] = {{"dict", new_dict}, {NULL, NULL}};

void open_dict(lua_State *L) {
  handle_define(L, HANDLE_DICT, "perilune.dict", methods, NULL);
  handle_set_end(L, HANDLE_DICT, shared_end);
  handle_define(L, HANDLE_KEY_LIST, "perilune.key_list", no_methods, NULL);
  handle_set_end(L, HANDLE_KEY_LIST, end_keys);
  luaL_register(L, NULL, functions);
}
