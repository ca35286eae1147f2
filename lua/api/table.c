// SPDX-License-Identifier: Apache-2.0
// table: perilune.table: one lookup table for all VMs of the process. The first VM of a generation that asks for the
// name fills it, in its main chunk; the others wait for that, in the threads that load them. It belongs to its
// generation: the one before keeps its own until its last VM is closed, and if the new one is refused, nothing has
// changed. A table whose source is a file that has not changed is taken over as it is.
//
// The hard part is its end without a result: a VM that is closed while it fills a table says so to those that wait.
#include "lua/api/table.h"

#include <arpa/inet.h>
#include <lauxlib.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "lua/api/json.h"
#include "lua/api/shared.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"
#include "net/cidr.h"
#include "shared/registry.h"

enum state { EMPTY, FILLING, READY, FAILED };

struct config {
  enum lookup_kind kind;
  size_t most_bytes;
  struct str stamp; /* of its file, with what is made of it; empty: a function fills it */
  uint64_t serial;  /* of the registry that asks */
};

struct table {
  enum lookup_kind kind;
  size_t most_bytes;
  char *stamp; /* owned */
  uint64_t serial;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  atomic_int state;            /* set under the lock */
  char *why;                   /* owned; once it has FAILED */
  struct lookup_table *lookup; /* owned; read by all once it is READY */
};

struct table_handle {
  struct shared shared;
  bool fills;
};

/* --- the object ------------------------------------------------------------------------------------------- */

static void *make(const void *given) {
  const struct config *config = given;
  struct table *t = memory_zalloc(sizeof *t);
  t->kind = config->kind;
  t->most_bytes = config->most_bytes;
  t->stamp = str_to_cstring(config->stamp);
  t->serial = config->serial;
  pthread_mutex_init(&t->lock, NULL);
  pthread_cond_init(&t->changed, NULL);
  t->lookup = lookup_table_new(config->kind, config->most_bytes);
  return t;
}

static void release(void *object) {
  struct table *t = object;
  lookup_table_free(t->lookup);
  pthread_cond_destroy(&t->changed);
  pthread_mutex_destroy(&t->lock);
  free(t->stamp);
  free(t->why);
  free(t);
}

static bool fits(const void *object, const void *given) {
  const struct table *t = object;
  const struct config *config = given;
  if (t->kind != config->kind || t->most_bytes != config->most_bytes) return false;
  if (t->serial == config->serial) return true;
  return config->stamp.len && str_equal(str_of(t->stamp), config->stamp) && atomic_load(&t->state) == READY;
}

static const struct registry_kind kind = {"table", make, release, fits, NULL};

/* True: the caller fills it. */
static bool take_turn(struct table *t) {
  pthread_mutex_lock(&t->lock);
  bool is_first = atomic_load(&t->state) == EMPTY;
  if (is_first) atomic_store(&t->state, FILLING);
  while (!is_first && atomic_load(&t->state) == FILLING) pthread_cond_wait(&t->changed, &t->lock);
  pthread_mutex_unlock(&t->lock);
  return is_first;
}

static void settle(struct table *t, const char *why) {
  pthread_mutex_lock(&t->lock);
  if (why) t->why = str_to_cstring(str_of(why));
  atomic_store(&t->state, why ? FAILED : READY);
  pthread_cond_broadcast(&t->changed);
  pthread_mutex_unlock(&t->lock);
}

static void end(void *ended) {
  struct table_handle *handle = ended;
  if (handle->fills && handle->shared.object) settle(handle->shared.object, "loading it was given up");
  handle->fills = false;
  shared_end(ended);
}

/* --- making ----------------------------------------------------------------------------------------------- */

static const char *const kind_words[] = {"text", "prefix", "network", NULL};

/* core.table(name, kind, most bytes, stamp): the table; true: it is to be filled now -4 +2 */
static int new_table(lua_State *L) {
  struct vm *vm = vm_of(L);
  if (!vm->loading)
    return handle_raise(L,
                        "perilune.table is for the policy's main chunk, which is loaded once: make it there");
  lua_Number most_bytes = luaL_checknumber(L, 3);
  if (!(most_bytes >= 1 && most_bytes <= 1e15))
    return handle_raise(L, "perilune.table: 'size' is out of range");
  struct config config = {.kind = (enum lookup_kind)luaL_checkoption(L, 2, NULL, kind_words),
                          .most_bytes = (size_t)most_bytes,
                          .stamp = text_at(L, 4),
                          .serial = registry_serial(vm->host.registry)};
  struct table_handle *handle = handle_new(L, HANDLE_TABLE, sizeof *handle);
  shared_take(L, &handle->shared, &kind, 1, &config);
  struct table *t = handle->shared.object;
  handle->fills = take_turn(t);
  if (atomic_load(&t->state) == FAILED)
    return handle_raise(L, "perilune.table('%s'): %s", lua_tostring(L, 1), t->why);
  lua_pushboolean(L, handle->fills);
  return 2;
}

static struct table_handle *check(lua_State *L) { return handle_check(L, 1, HANDLE_TABLE); }

struct lookup_table *table_to_fill(lua_State *L, int index, enum lookup_kind *of) {
  struct table_handle *handle = handle_check(L, index, HANDLE_TABLE);
  struct table *t = handle->shared.object;
  if (!handle->fills)
    handle_raise(L, "table:add: a table is filled by its loader, and only read from then on");
  *of = t->kind;
  return t->lookup;
}

/* table:done([why]) -2 +0 */
static int done(lua_State *L) {
  struct table_handle *handle = check(L);
  if (handle->fills) settle(handle->shared.object, lua_isnoneornil(L, 2) ? NULL : luaL_checkstring(L, 2));
  handle->fills = false;
  return 0;
}

/* --- filling ---------------------------------------------------------------------------------------------- */

const char *table_add(struct lookup_table *table, enum lookup_kind of, struct str key, char type,
                      struct str value) {
  unsigned char network[LOOKUP_NETWORK_BYTES];
  unsigned bits;
  const char *why;
  if (of == LOOKUP_NETWORK) {
    if (!cidr_read(key, network, &bits, &why)) return why;
    network[LOOKUP_ADDRESS_BYTES] = (unsigned char)bits;
    key = (struct str){(const char *)network, sizeof network};
  }
  return lookup_table_add(table, key, type, value);
}

/* The value at 3 as its text. -0 +0 */
static char read_value(lua_State *L, struct str *value) {
  int type = lua_type(L, 3);
  *value = (struct str){"", 0};
  if (type == LUA_TBOOLEAN) *value = lua_toboolean(L, 3) ? STR("1") : STR("0");
  if (type == LUA_TBOOLEAN) return TABLE_FLAG;
  if (type == LUA_TSTRING || type == LUA_TNUMBER) *value = text_at(L, 3);
  if (type == LUA_TSTRING) return TABLE_TEXT;
  if (type == LUA_TNUMBER) return TABLE_NUMBER;
  if (type != LUA_TTABLE)
    handle_raise(L, "table:add: a value is a string, number, boolean or table, got a %s value",
                 luaL_typename(L, 3));
  lua_pushcfunction(L, json_encode);
  lua_pushvalue(L, 3);
  lua_call(L, 1, 2);
  if (lua_isnil(L, -2)) handle_raise(L, "table:add: a table is kept as JSON: %s", lua_tostring(L, -1));
  lua_pop(L, 1);
  lua_replace(L, 3);
  *value = text_at(L, 3);
  return TABLE_JSON;
}

/* table:add(key, value) -3 +0 */
static int add(lua_State *L) {
  enum lookup_kind of;
  struct lookup_table *table = table_to_fill(L, 1, &of);
  struct str key = text_at(L, 2), value;
  luaL_checkany(L, 3);
  char type = read_value(L, &value);
  const char *why = table_add(table, of, key, type, value);
  if (why) return handle_raise(L, "table:add('%s'): %s", key.ptr, why);
  return 0;
}

/* --- reading ---------------------------------------------------------------------------------------------- */

/* -0 +1 */
static void push_network(lua_State *L, struct str key) {
  static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
  char text[INET6_ADDRSTRLEN];
  const unsigned char *at = (const unsigned char *)key.ptr;
  bool is_ipv4 = at[LOOKUP_ADDRESS_BYTES] >= 96 && memcmp(at, mapped, sizeof mapped) == 0;
  unsigned bits = at[LOOKUP_ADDRESS_BYTES];
  inet_ntop(is_ipv4 ? AF_INET : AF_INET6, is_ipv4 ? at + 12 : at, text, sizeof text);
  lua_pushfstring(L, "%s/%d", text, (int)(is_ipv4 ? bits - 96 : bits));
}

/* -0 +1 */
static void push_value(lua_State *L, const struct lookup_found *found) {
  switch (found->type) {
  case TABLE_NUMBER:
    push_text(L, found->value);
    lua_pushnumber(L, lua_tonumber(L, -1));
    lua_remove(L, -2);
    break;
  case TABLE_FLAG: lua_pushboolean(L, found->value.ptr[0] == '1'); break;
  case TABLE_JSON:
    lua_pushcfunction(L, json_decode);
    push_text(L, found->value);
    lua_call(L, 1, 1);
    break;
  default: push_text(L, found->value);
  }
}

/* table:get(key): the value, and of prefixes and networks the key that was found; nil: there is none -2 +1 | -2 +2 */
static int get(lua_State *L) {
  const struct table *t = check(L)->shared.object;
  unsigned char address[LOOKUP_ADDRESS_BYTES];
  struct lookup_found found;
  if (lua_isnil(L, 2)) return push_nil(L);
  struct str key = text_at(L, 2);
  if (atomic_load_explicit(&t->state, memory_order_acquire) != READY)
    return handle_raise(L, "table:get: the table is not loaded yet");
  if (t->kind == LOOKUP_NETWORK) {
    if (!cidr_read_address(key, address)) return push_nil(L);
    key = (struct str){(const char *)address, sizeof address};
  }
  if (!lookup_table_find(t->lookup, key, &found)) return push_nil(L);
  push_value(L, &found);
  if (t->kind == LOOKUP_TEXT) return 1;
  if (t->kind == LOOKUP_NETWORK)
    push_network(L, found.key);
  else
    push_text(L, found.key);
  return 2;
}

/* table:count(), table:bytes() -1 +1 */
static int count(lua_State *L) {
  lua_pushnumber(L, (lua_Number)lookup_table_count(((const struct table *)check(L)->shared.object)->lookup));
  return 1;
}
static int bytes(lua_State *L) {
  lua_pushnumber(L, (lua_Number)lookup_table_bytes(((const struct table *)check(L)->shared.object)->lookup));
  return 1;
}

static const luaL_Reg methods[] = {{"add", add},     {"csv", table_csv}, {"done", done}, {"get", get},
                                   {"count", count}, {"bytes", bytes},   {NULL, NULL}};
static const luaL_Reg functions[] = {{"table", new_table}, {NULL, NULL}};

void open_table(lua_State *L) {
  handle_define(L, HANDLE_TABLE, "perilune.table", methods, NULL);
  handle_set_end(L, HANDLE_TABLE, end);
  luaL_register(L, NULL, functions);
}
