// SPDX-License-Identifier: Apache-2.0
// shared: gets objects from the registry by their names, and releases them when the VM closes. A change that a main
// chunk makes to an object in use is stored as a call with its arguments, and made when the policy is in force.
#include "lua/api/shared.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "lua/vm/task.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"

/* "backends#3" or the name that was given. */
static struct str name_of(lua_State *L, enum handle_kind handle, const struct registry_kind *kind,
                          int index) {
  struct vm *vm = vm_of(L);
  if (lua_isnoneornil(L, index)) {
    if (!vm->loading)
      handle_raise(L, "%s: give it a name where it is not made while the policy loads", kind->name);
    lua_pushfstring(L, "%s#%d", kind->name, (int)++vm->kinds.made[handle]);
    lua_replace(L, index);
  }
  return text_at(L, index);
}

/* The first handle of an object, on top of the stack, lives as long as the VM: what nobody holds at the moment, as a
 * dictionary that hooks ask for by its name each time, would lose what is in it. -0 +0 */
static void keep(lua_State *L, void *object) {
  lua_pushlightuserdata(L, object);
  lua_rawget(L, LUA_REGISTRYINDEX);
  bool is_first = lua_isnil(L, -1);
  lua_pop(L, 1);
  if (!is_first) return;
  lua_pushlightuserdata(L, object);
  lua_pushvalue(L, -2);
  lua_rawset(L, LUA_REGISTRYINDEX);
}

lua_Number shared_most_bytes(void) { return (lua_Number)memory_half(); }

static lua_Number whole_mib(lua_Number bytes) { return (lua_Number)(uint64_t)(bytes / (1024.0 * 1024.0)); }

void shared_check_size(lua_State *L, const char *call, lua_Number bytes, lua_Number least,
                       const char *words) {
  lua_Number most = shared_most_bytes();
  if (!(bytes >= least && bytes <= most))
    handle_raise(L, "%s: size must be from %s to half of the machine's memory, %f MiB; got %f bytes", call,
                 words, whole_mib(most), bytes);
}

void shared_check_room(lua_State *L, const char *call, const char *option, lua_Number count,
                       unsigned bytes_each) {
  lua_Number rounded = 1;
  while (rounded < count) rounded *= 2;
  if (rounded * bytes_each > shared_most_bytes())
    handle_raise(
        L, "%s: option '%s': %f would take %f MiB; an object may take half of the machine's memory, %f MiB",
        call, option, count, whole_mib(rounded * bytes_each), whole_mib(shared_most_bytes()));
}

unsigned shared_check_field(lua_State *L, const char *call, const char *name, lua_Number scale) {
  lua_getfield(L, 1, name);
  lua_Number number = luaL_checknumber(L, -1) * scale;
  if (!(number >= 1 && number <= 2147483648.0)) handle_raise(L, "%s: '%s' is out of range", call, name);
  lua_pop(L, 1);
  return (unsigned)(number + 0.5);
}

void shared_take(lua_State *L, struct shared *shared, const struct registry_kind *kind, int name,
                 const void *config) {
  struct registry *registry = vm_of(L)->host.registry;
  struct str key = name_of(L, handle_kind(&shared->handle), kind, name);
  shared->registry = registry;
  shared->entry = registry_get(registry, kind, key, config);
  if (!shared->entry)
    handle_raise(L,
                 "%s: there are %d names of this kind already; are they made of what clients say? Use keys "
                 "of one object",
                 kind->name, REGISTRY_NAMES);
  shared->object = registry_object(shared->entry);
  keep(L, shared->object);
}

struct shared *shared_push(lua_State *L, enum handle_kind handle, const struct registry_kind *kind, int name,
                           const void *config) {
  struct shared *shared = handle_new(L, handle, sizeof *shared);
  shared_take(L, shared, kind, name, config);
  return shared;
}

/* Also of one that was never filled in. */
void shared_end(void *ended) {
  struct shared *shared = ended;
  if (shared->entry) registry_release(shared->registry, shared->entry);
  shared->entry = NULL;
  shared->object = NULL;
}

/* --- putting off ------------------------------------------------------------------------------------------ */

bool shared_is_staged(lua_State *L, const struct shared *shared) {
  return !registry_owns(vm_of(L)->host.registry, shared->entry);
}

bool shared_is_foreign(lua_State *L, const struct shared *shared) {
  return vm_of(L)->loading && shared_is_staged(L, shared);
}

static const char put_off[] =
    "perilune.put_off"; /* in Lua's registry: a list of { call, count, arguments... } */

void shared_put_off(lua_State *L, lua_CFunction call) {
  int count = lua_gettop(L);
  luaL_checkstack(L, 6, "arguments");
  lua_getfield(L, LUA_REGISTRYINDEX, put_off);
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_setfield(L, LUA_REGISTRYINDEX, put_off);
  }
  lua_createtable(L, count + 2, 0);
  lua_pushcfunction(L, call);
  lua_rawseti(L, -2, 1);
  lua_pushinteger(L, count);
  lua_rawseti(L, -2, 2);
  for (int i = 1; i <= count; i++) {
    lua_pushvalue(L, i);
    lua_rawseti(L, -2, i + 2);
  }
  lua_rawseti(L, -2, (int)lua_objlen(L, -2) + 1);
  lua_pop(L, 1);
}

/* How many there are; the int is the light userdata at 1. -0 +0 */
static int count_calls(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, put_off);
  *(int *)lua_touserdata(L, 1) = lua_istable(L, -1) ? (int)lua_objlen(L, -1) : 0;
  return 0;
}

/* The one whose number is the int at 1. -0 +0 */
static int run_call(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, put_off);
  lua_rawgeti(L, -1, *(const int *)lua_touserdata(L, 1));
  int call = lua_gettop(L);
  lua_rawgeti(L, call, 2);
  int count = (int)lua_tointeger(L, -1);
  luaL_checkstack(L, count + 1, "arguments");
  for (int i = 0; i <= count; i++) lua_rawgeti(L, call, i ? i + 2 : 1);
  lua_call(L, count, 0);
  return 0;
}

/* -0 +0 */
static int forget_calls(lua_State *L) {
  lua_pushnil(L);
  lua_setfield(L, LUA_REGISTRYINDEX, put_off);
  return 0;
}

void shared_start(struct vm *vm) {
  int count = 0;
  free(task_protect(vm, count_calls, &count));
  for (int i = 1; i <= count; i++) {
    char *why = task_protect(vm, run_call, &i);
    if (why) log_error("what the policy's main chunk has put off failed: %s", why);
    free(why);
  }
  if (count) free(task_protect(vm, forget_calls, NULL));
}
