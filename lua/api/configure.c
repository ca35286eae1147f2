// SPDX-License-Identifier: Apache-2.0
// configure: perilune.configure{...}: the settings of the process (core/runtime/config.h), which the command line
// overrides, and the limits of the policy itself.
#include <lauxlib.h>
#include <stdlib.h>

#include "lua/api/private_files.h"
#include "lua/vm/handle.h"
#include "lua/vm/limits.h"
#include "lua/vm/nouns.h"
#include "lua/vm/vm.h"
#include "runtime/config.h"

/* The value at the top of the stack as the text that config_set takes. -0 +0 */
static const char *text_of(lua_State *L, const char *name) {
  switch (lua_type(L, -1)) {
  case LUA_TBOOLEAN: return lua_toboolean(L, -1) ? "true" : "false";
  case LUA_TNUMBER:
  case LUA_TSTRING: lua_pushvalue(L, -1); return lua_tostring(L, -1);
  default: break;
  }
  luaL_error(L, "perilune.configure: %s: expected a string, a number or a boolean", name);
  return NULL;
}

/* Raises with the message, which it frees; of an unknown name it also says what a policy may set of itself. -0 +0 */
static int raise(lua_State *L, struct config *scratch, const char *name, char *why) {
  if (scratch) config_free(scratch);
  lua_pushfstring(L, "perilune.configure: %s%s", why, config_find(name) < 0 ? ", " LIMITS_NAMES : "");
  free(why);
  luaL_where(L, 1);
  lua_insert(L, -2);
  lua_concat(L, 2);
  return lua_error(L);
}

/* In the first run their number is not known before. A policy that has used it already is loaded again. */
static void heed_workers(struct vm *vm, const struct config *config) {
  if (vm->host.is_first && !vm->workers_told) vm->host.workers = vm->host.worker = config_workers(config);
}

/* perilune.configure{ name = value, ... } -1 +0 */
static int configure(lua_State *L) {
  struct vm *vm = vm_of(L);
  struct config scratch, *config = vm->host.config;
  handle_check_dot(L, "perilune.configure");
  luaL_checktype(L, 1, LUA_TTABLE);
  if (!vm->loading) return luaL_error(L, "perilune.configure is for the policy's main chunk, not for hooks");
  luaL_where(L, 1); /* "policy.lua:3: " */
  lua_pushlstring(L, lua_tostring(L, 2), lua_objlen(L, 2) > 2 ? lua_objlen(L, 2) - 2 : 0);
  lua_replace(L, 2);
  for (lua_pushnil(L); lua_next(L, 1); lua_settop(L, 3)) {
    char *why = NULL;
    if (lua_type(L, 3) != LUA_TSTRING)
      return luaL_error(L, "perilune.configure: a setting's name is a string");
    const char *name = lua_tostring(L, 3);
    if (limits_set(L, name)) continue;
    const char *text = text_of(L, name);
    int id = config_find(name);
    if (private_is_file(id)) text = private_file(L, text);
    bool is_checked_only = !config || private_leaves_out(id);
    if (is_checked_only) config_init(&scratch);
    struct config *into = is_checked_only ? &scratch : config;
    bool fine = config_set(into, name, text, CONFIG_FROM_POLICY, lua_tostring(L, 2), &why);
    if (!fine) return raise(L, is_checked_only ? &scratch : NULL, name, why);
    if (is_checked_only) config_free(&scratch);
  }
  if (config) heed_workers(vm, config);
  return 0;
}

static const luaL_Reg functions[] = {
    {"configure", configure},
    {NULL, NULL},
};

void open_configure(lua_State *L) { luaL_register(L, NULL, functions); }
