// SPDX-License-Identifier: Apache-2.0
// library: perilune.core, the table that lua/perilune/init.lua makes the public module from, and the
// functions that tell a policy where it runs.
#include "lua/vm/library.h"

#include <errno.h>
#include <lauxlib.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/nearest.h"
#include "base/safe_file.h"
#include "lua/vm/cap.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/paths.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"
#include "net/addr.h"
#include "exchange/hooks.h"

static void (*const nouns[])(lua_State *L) = {
#define X(noun) open_##noun,
    NOUN_TABLE(X)
#undef X
};

static int worker(lua_State *L);
static int workers(lua_State *L);
static int is_control(lua_State *L);
static int check_address(lua_State *L);
static int path(lua_State *L);
static int read_file(lua_State *L);
static int memory_used(lua_State *L);
static int set_memory_limit(lua_State *L);
static int is_own_source(lua_State *L);
static int nearest(lua_State *L);
static int hook_names(lua_State *L);

/* core.check_dot(first argument, name of the call) -2 +0 */
static int check_dot(lua_State *L) {
  handle_check_dot(L, luaL_checkstring(L, 2));
  return 0;
}

static const luaL_Reg functions[] = {
    {"worker", worker},
    {"workers", workers},
    {"is_control", is_control},
    {"check_address", check_address},
    {"path", path},
    {"read_file", read_file},
    {"memory_used", memory_used},
    {"set_memory_limit", set_memory_limit},
    {"raise", handle_raise_text},
    {"check_dot", check_dot},
    {"is_own_source", is_own_source},
    {"nearest", nearest},
    {"hook_names", hook_names},
    {NULL, NULL},
};

/* The loader of perilune.core: the table is made already. -0 +1 */
static int core(lua_State *L) {
  lua_pushvalue(L, lua_upvalueindex(1));
  return 1;
}

void open_library(lua_State *L) {
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "preload");
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  for (size_t i = 0; i < sizeof nouns / sizeof *nouns; i++) nouns[i](L);
  lua_pushcclosure(L, core, 1);
  lua_setfield(L, -2, "perilune.core");
  lua_pop(L, 2);
}

/* perilune.worker(): the number of this worker, from 0; the control worker has the last. -0 +1 */
static int worker(lua_State *L) {
  vm_workers(vm_of(L)); /* the control worker's number says the same */
  lua_pushinteger(L, (lua_Integer)vm_of(L)->host.worker);
  return 1;
}

/* perilune.workers(): how many serve requests, the control worker not counted. -0 +1 */
static int workers(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)vm_workers(vm_of(L)));
  return 1;
}

/* perilune.is_control() -0 +1 */
static int is_control(lua_State *L) {
  lua_pushboolean(L, vm_of(L)->host.is_control);
  return 1;
}

/* core.check_address(text): what is wrong with it as an address to connect to; nil: nothing. -1 +1 */
static int check_address(lua_State *L) {
  struct addr addr;
  const char *why = NULL;
  struct str text = text_at(L, 1);
  if (addr_parse_peer(text, &addr, &why)) return 0;
  lua_pushstring(L, why);
  return 1;
}

/* core.path(name): of a file, relative to the script. -1 +1 */
static int path(lua_State *L) {
  struct str name = text_at(L, 1);
  struct arena arena;
  arena_init(&arena);
  struct str full = paths_of(vm_of(L), name, &arena);
  lua_pushlstring(L, full.ptr, full.len);
  arena_free(&arena);
  return 1;
}

/* core.read_file(path): its text; or nil and "<path>: <why>". Of a regular file that is not large. -1 +2 */
static int read_file(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  struct buf *text = &vm_of(L)->scratch;
  buf_release(text);
  if (!safe_read(name, SAFE_READ_MOST, text)) {
    const char *reason = safe_reason(errno);
    lua_pushnil(L);
    lua_pushfstring(L, "%s: %s", name, reason);
    return 2;
  }
  lua_pushlstring(L, buf_ptr(text), buf_len(text));
  buf_release(text);
  return 1;
}

/* perilune.memory_used(): bytes of this worker's VM. -0 +1 */
static int memory_used(lua_State *L) {
  lua_pushnumber(L, (lua_Number)vm_of(L)->memory.used_bytes);
  return 1;
}

/* perilune.set_memory_limit(bytes): of each worker's VM. -1 +0 */
static int set_memory_limit(lua_State *L) {
  struct vm *vm = vm_of(L);
  lua_Number bytes = luaL_checknumber(L, 1);
  if (!(bytes >= (lua_Number)vm->memory.used_bytes && bytes <= 1e15))
    return luaL_error(L, "set_memory_limit: %f bytes are less than the VM holds already", bytes);
  cap_set(vm, (size_t)bytes);
  return 0;
}

/* core.nearest(word, names): the one of the array that a misspelt word was meant to be; nil: none is near -2 +1 */
static int nearest(lua_State *L) {
  struct nearest n = nearest_to(luaL_checkstring(L, 1));
  luaL_checktype(L, 2, LUA_TTABLE);
  int count = (int)lua_objlen(L, 2);
  for (int i = 1; i <= count; i++) {
    lua_rawgeti(L, 2, i);
    if (lua_type(L, -1) == LUA_TSTRING) nearest_offer(&n, lua_tostring(L, -1)); /* the array keeps it */
    lua_pop(L, 1);
  }
  lua_pushstring(L, n.found);
  return 1;
}

/* core.hook_names(): of all hooks, as an array -0 +1 */
static int hook_names(lua_State *L) {
  lua_createtable(L, HOOK_COUNT, 0);
  for (enum hook hook = 0; hook < HOOK_COUNT; hook++) {
    lua_pushstring(L, hook_name(hook));
    lua_rawseti(L, -2, (int)hook + 1);
  }
  return 1;
}

/* core.is_own_source(source): of a function, as debug.getinfo has it: is it one of ours? -1 +1 */
static int is_own_source(lua_State *L) {
  lua_pushboolean(L, handle_is_own_source(vm_of(L), luaL_checkstring(L, 1)));
  return 1;
}
