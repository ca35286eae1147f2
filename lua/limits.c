// SPDX-License-Identifier: Apache-2.0
// limits: what a policy sets of its VMs. Other than the settings of the process they change with a reload.
#include "lua/limits.h"

#include <lauxlib.h>
#include <luajit.h>
#include <string.h>

#include "lua/vm.h"

/* -0 +0 */
static void set_hook_time(lua_State *L, struct vm *vm) {
  lua_Number seconds = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
  if (!(seconds >= 0.01 && seconds <= 3600))
    luaL_error(L, "perilune.configure: hook_time must be a number of seconds from 0.01 to 3600");
  vm->watch.hook_ms = (unsigned)(seconds * 1000 + 0.5);
}

/* Of what is still to run of the main chunk; it counts from its begin. -0 +0 */
static void set_load_time(lua_State *L, struct vm *vm) {
  lua_Number seconds = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
  if (!(seconds >= 0.01 && seconds <= 3600))
    luaL_error(L, "perilune.configure: load_time must be a number of seconds from 0.01 to 3600");
  if (atomic_load(&vm->watch.budget_ms)) watch_budget(vm, (unsigned)(seconds * 1000 + 0.5));
}

/* -0 +0 */
static void set_jit(lua_State *L, struct vm *vm) {
  (void)vm;
  if (!lua_isboolean(L, -1)) luaL_error(L, "perilune.configure: jit must be true or false");
  luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | (lua_toboolean(L, -1) ? LUAJIT_MODE_ON : LUAJIT_MODE_OFF));
  if (!lua_toboolean(L, -1)) luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_FLUSH);
}

/* -0 +0 */
static void set_memory_limit(lua_State *L, struct vm *vm) {
  lua_Number bytes = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
  if (!(bytes >= (lua_Number)vm->memory.used_bytes && bytes <= 1e15))
    luaL_error(L,
               "perilune.configure: memory_limit must be a number of bytes, more than the VM holds already");
  vm->memory.cap_bytes = (size_t)bytes;
  vm->collect_at_bytes = vm->memory.cap_bytes / 2;
}

static const struct {
  const char *name;
  void (*set)(lua_State *L, struct vm *vm);
} settings[] = {{"hook_time", set_hook_time},
                {"load_time", set_load_time},
                {"jit", set_jit},
                {"memory_limit", set_memory_limit}};

bool limits_set(lua_State *L, const char *name) {
  for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
    if (strcmp(settings[i].name, name) != 0) continue;
    settings[i].set(L, vm_of(L));
    return true;
  }
  return false;
}
