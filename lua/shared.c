// SPDX-License-Identifier: Apache-2.0
// shared: takes objects out of the registry under their name, and gives them back when the VM closes.
#include "lua/shared.h"

#include "lua/vm.h"

/* "backends#3" or the name that was given. */
static struct str name_of(lua_State *L, enum handle_kind handle, const struct registry_kind *kind,
                          int index) {
  struct str name;
  struct vm *vm = vm_of(L);
  if (lua_isnoneornil(L, index)) {
    if (!vm->loading)
      handle_raise(L, "%s: give it a name where it is not made while the policy loads", kind->name);
    lua_pushfstring(L, "%s#%d", kind->name, (int)++vm->made[handle]);
    lua_replace(L, index);
  }
  if (vm->epoch) {
    lua_pushfstring(L, "%d/%s", (int)vm->epoch, luaL_checkstring(L, index));
    lua_replace(L, index);
  }
  name.ptr = luaL_checklstring(L, index, &name.len);
  return name;
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

void shared_take(lua_State *L, struct shared *shared, const struct registry_kind *kind, int name,
                 const void *config) {
  struct registry *registry = vm_of(L)->host.registry;
  struct str key = name_of(L, handle_kind(&shared->handle), kind, name);
  shared->registry = registry;
  shared->entry = registry_get(registry, kind, key, config);
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
