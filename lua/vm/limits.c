// SPDX-License-Identifier: Apache-2.0
// limits: what a policy sets for its VMs. Unlike the settings of the process, these change with a reload.
#include "lua/vm/limits.h"

#include <lauxlib.h>
#include <luajit.h>
#include <string.h>

#include "lua/vm/cap.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"
#include "lua/vm/watchdog.h"

/* The setting on top of the stack, in ms. -0 +0 */
static unsigned check_time(lua_State *L, const char *name) {
  unsigned ms = 0;
  if (!duration_at(L, -1, &ms) || ms < 10 || ms > 3600000)
    luaL_error(
        L, "perilune.configure: %s must be a number of seconds from 0.01 to 3600, or a text such as '500ms'",
        name);
  return ms;
}

/* -0 +0 */
static void set_hook_time(lua_State *L, struct vm *vm) { vm->watch.hook_ms = check_time(L, "hook_time"); }

/* Of what is still to run of the main chunk; it counts from its begin. -0 +0 */
static void set_load_time(lua_State *L, struct vm *vm) {
  unsigned ms = check_time(L, "load_time");
  if (atomic_load(&vm->watch.budget_ms)) watch_budget(vm, ms);
}

/* What has been compiled goes with it: a loop that never ends can be interrupted only while it is interpreted. That is
 * why nothing is compiled while the policy loads, whatever it wants for later. */
static void switch_jit(lua_State *L, bool on) {
  luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | (on ? LUAJIT_MODE_ON : LUAJIT_MODE_OFF));
  vm_of(L)->jit_runs = on;
  if (!on) luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_FLUSH);
}

static void want_jit(lua_State *L, bool on) {
  struct vm *vm = vm_of(L);
  vm->jit_off = !on;
  if (!vm->loading && !vm->debugger) switch_jit(L, on);
}

/* -0 +0 */
static void set_jit(lua_State *L, struct vm *vm) {
  (void)vm;
  if (!lua_isboolean(L, -1)) luaL_error(L, "perilune.configure: jit must be true or false");
  want_jit(L, lua_toboolean(L, -1));
}

/* -0 +0 */
static void set_memory_limit(lua_State *L, struct vm *vm) {
  lua_Number bytes = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
  if (!(bytes >= (lua_Number)vm->memory.used_bytes && bytes <= 1e15))
    luaL_error(L,
               "perilune.configure: memory_limit must be a number of bytes, more than the VM holds already");
  cap_set(vm, (size_t)bytes);
}

static const struct {
  const char *name;
  void (*set)(lua_State *L, struct vm *vm);
} settings[] = {{"hook_time", set_hook_time},
                {"load_time", set_load_time},
                {"jit", set_jit},
                {"memory_limit", set_memory_limit}};

void limits_begin_load(struct vm *vm) {
  vm->loading = true;
  switch_jit(vm->L, false);
}

void limits_end_load(struct vm *vm) {
  vm->loading = false;
  if (!vm->jit_off) switch_jit(vm->L, true);
}

/* jit.on and jit.off: without an argument they are about the whole VM, else LuaJIT's own. */
static int jit_on_or_off(lua_State *L) {
  if (lua_isnoneornil(L, 1)) {
    want_jit(L, lua_toboolean(L, lua_upvalueindex(2)));
    return 0;
  }
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, 0);
  return 0;
}

/* The table jit is on top. -0 +0 */
static void wrap(lua_State *L, const char *name, bool on) {
  lua_getfield(L, -1, name);
  lua_pushboolean(L, on);
  lua_pushcclosure(L, jit_on_or_off, 2);
  lua_setfield(L, -2, name);
}

void open_limits(lua_State *L) {
  lua_getglobal(L, "jit");
  wrap(L, "on", true);
  wrap(L, "off", false);
  lua_pop(L, 1);
}

bool limits_set(lua_State *L, const char *name) {
  for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
    if (strcmp(settings[i].name, name) != 0) continue;
    settings[i].set(L, vm_of(L));
    return true;
  }
  return false;
}
