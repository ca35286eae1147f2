// SPDX-License-Identifier: Apache-2.0
// test_run: what a test run controls, in `perilune test` only: virtual time, the lines of the log, and the policies
// that specs load. lua/perilune/test/clock.lua, log.lua and init.lua offer it to specs.
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "lua/api/spawn.h"
#include "lua/api/timer.h"
#include "lua/vm/nouns.h"
#include "lua/vm/policy.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"
#include "net/virtual_time.h"
#include "shared/registry.h"

/* --- time. ---------------------------------------------------------------------------------------------- */

/* core.test_advance(seconds) -1 +0 */
static int advance(lua_State *L) {
  lua_Number seconds = luaL_checknumber(L, 1);
  if (!(seconds >= 0 && seconds <= 1e9))
    return luaL_error(L, "clock:advance: expected a number of seconds, 0 or more");
  virtual_time_advance((uint64_t)(seconds * 1000 + 0.5));
  return 0;
}

/* core.test_left(): seconds until something is due; nil: nothing is -0 +1 */
static int left(lua_State *L) {
  uint64_t ms = virtual_time_left_ms();
  if (ms == UINT64_MAX)
    lua_pushnil(L);
  else
    lua_pushnumber(L, (lua_Number)ms / 1000);
  return 1;
}

/* --- the log -------------------------------------------------------------------------------------------- */

static struct buf caught; /* "<level><text>\0" for each line */

static void catch (enum log_level level, const char *text) {
  char digit = (char)('0' + level);
  buf_append(&caught, &digit, 1);
  buf_append(&caught, text, strlen(text) + 1);
}

/* core.test_catch_log(on) -1 +0 */
static int catch_log(lua_State *L) {
  log_catch(lua_toboolean(L, 1) ? catch : NULL);
  log_set_level(lua_toboolean(L, 1) ? LOG_DEBUG : LOG_INFO);
  return 0;
}

/* core.test_take_log(): an array of level, text, level, text, ... since the last call -0 +1 */
static int take_log(lua_State *L) {
  static const char *const names[] = {"debug", "info", "warn", "error"};
  lua_newtable(L);
  const char *at = buf_len(&caught) ? buf_ptr(&caught) : NULL, *end = at ? at + buf_len(&caught) : NULL;
  for (int i = 1; at < end; at += strlen(at) + 1, i += 2) {
    lua_pushstring(L, names[*at - '0']);
    lua_rawseti(L, -2, i);
    lua_pushstring(L, at + 1);
    lua_rawseti(L, -2, i + 1);
  }
  buf_release(&caught);
  return 1;
}

/* --- policies ------------------------------------------------------------------------------------------- */

/* core.test_loading(on): as if the main chunk ran -1 +0 */
static int loading(lua_State *L) {
  vm_of(L)->loading = lua_toboolean(L, 1);
  return 0;
}

/* core.test_begin(): the background work that the main chunk asked for runs from now on, as time passes -0 +0 */
static int begin(lua_State *L) {
  jobs_start(vm_of(L));
  return 0;
}

/* core.test_end_background(): ends all of it, wherever it waits -0 +0 */
static int end_background(lua_State *L) {
  struct vm *vm = vm_of(L);
  jobs_free(vm);
  spawned_free(vm);
  return 0;
}

/* core.test_fresh(): forgets the policies so far, their background work and what they shared -0 +0 */
static int fresh(lua_State *L) {
  struct vm *vm = vm_of(L);
  end_background(L);
  vm->policy->count = 0;
  registry_forget_names(vm->host.registry);
  memset(vm->kinds.made, 0, sizeof vm->kinds.made);
  return 0;
}

/* core.test_directory(path): where files that options name lie, with its slash at the end -1 +0 */
static int directory(lua_State *L) {
  struct vm *vm = vm_of(L);
  struct str path = text_at(L, 1);
  free((char *)vm->directory.ptr);
  vm->directory = str_own(path);
  return 0;
}

/* core.test_listeners(): how many there are -0 +1 */
static int listeners(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)vm_of(L)->policy->count);
  return 1;
}

/* core.test_address(listener) -1 +1 */
static int address(lua_State *L) {
  struct policy *policy = vm_of(L)->policy;
  lua_Integer index = luaL_checkinteger(L, 1);
  luaL_argcheck(L, index >= 1 && (unsigned)index <= policy->count, 1, "no such listener");
  lua_pushlstring(L, policy->listeners[index - 1].address.ptr, policy->listeners[index - 1].address.len);
  return 1;
}

static const luaL_Reg functions[] = {
    {"test_advance", advance},
    {"test_left", left},
    {"test_catch_log", catch_log},
    {"test_take_log", take_log},
    {"test_loading", loading},
    {"test_fresh", fresh},
    {"test_directory", directory},
    {"test_listeners", listeners},
    {"test_address", address},
    {"test_begin", begin},
    {"test_end_background", end_background},
    {NULL, NULL},
};

/* Only in `perilune test`. */
void open_test_run(lua_State *L) {
  if (virtual_time.on) luaL_register(L, NULL, functions);
}
