// SPDX-License-Identifier: Apache-2.0
// vm: makes and ends Lua states. The hard problem is that the allocator may say no at any allocation: so Lua
// is called in protected mode only, and what the core does outside of it (lua_rawgeti, lua_settop) allocates
// nothing.
#include "lua/vm/vm.h"

#include <lauxlib.h>
#include <lualib.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "lua/vm/cap.h"
#include "lua/api/connection.h"
#include "lua/vm/fence.h"
#include "lua/vm/library.h"
#include "lua/vm/limits.h"
#include "lua/api/socket.h"
#include "lua/api/spawn.h"
#include "lua/vm/task.h"
#include "lua/api/timer.h"

static int on_panic(lua_State *L);
static int open_all(lua_State *L);
static struct str directory_of(const char *path);

struct vm *vm_new(const struct policy_host *host, struct policy *policy, const char *script_path,
                  char **why) {
  struct vm *vm = memory_zalloc(sizeof *vm);
  vm->host = *host;
  vm->policy = policy;
  if (!vm->host.clock) vm->host.clock = &clock_system;
  vm->directory = directory_of(script_path);
  vm->memory.beyond = cap_beyond;
  cap_set(vm, (size_t)VM_MEMORY_CAP_MIB << 20);
  vm->jit_runs = true;
  list_init(&vm->tasks);
  list_init(&vm->spare_tasks);
  list_init(&vm->jobs);
  list_init(&vm->spawned);
  list_init(&vm->spare_sockets);
  list_init(&vm->connections);
  list_init(&vm->handles);
  watch_begin(vm);
  vm->L = lua_newstate(allocator_run, &vm->memory);
  if (!vm->L) {
    *why = str_to_cstring(STR("this build of LuaJIT takes no allocator (it needs GC64)"));
  } else {
    lua_atpanic(vm->L, on_panic);
    *why = task_protect(vm, open_all, NULL);
  }
  if (!*why) return vm;
  vm_free(vm);
  return NULL;
}

void vm_free(struct vm *vm) {
  watch_end(vm);
  vm->closing = true;
  if (vm->L) {
    jobs_free(vm);
    spawned_free(vm);
    connections_free(vm);
    tasks_free(vm);
    pool_free(vm);
    handles_end(vm);
    lua_close(vm->L);
  }
  free(vm->seats.all);
  free(vm->ctx_supply.places);
  allocator_free(&vm->memory);
  buf_release(&vm->scratch);
  free((char *)vm->directory.ptr);
  free((char *)vm->library.ptr);
  free(vm->name_servers);
  free(vm);
}

/* An error outside of protected mode: a fault of ours. Without this line the process would end in silence. */
static int on_panic(lua_State *L) {
  log_error("Lua: unprotected error: %s", lua_tostring(L, -1));
  abort();
}

static struct str directory_of(const char *path) {
  const char *slash = strrchr(path, '/');
  size_t length = slash ? (size_t)(slash - path) + 1 : 0;
  return (struct str){str_to_cstring((struct str){path, length}), length};
}

struct str vm_path(const struct vm *vm, struct str name, struct arena *arena) {
  bool is_absolute = name.len == 0 || name.ptr[0] == '/';
  return arena_printf(arena, "%.*s%.*s", is_absolute ? 0 : (int)vm->directory.len, vm->directory.ptr,
                      STR_ARG(name));
}

/* --- where `require` looks ------------------------------------------------------------------------------ */

static bool has_library(const char *root) {
  char file[PATH_MAX + 32];
  snprintf(file, sizeof file, "%s/lua/perilune/init.lua", root);
  return access(file, R_OK) == 0;
}

/* The directory that has lua/ and scripts/ in it: of the build tree the binary lies in, or of its
 * installation. */
static bool find_library(char root[PATH_MAX]) {
  static const char *const beside[] = {"..", "../share/perilune", "../.."};
  char binary[PATH_MAX - 32], place[PATH_MAX];
  ssize_t length = readlink("/proc/self/exe", binary, sizeof binary - 1);
  if (length < 0) return false;
  binary[length] = '\0';
  *(strrchr(binary, '/') + 1) = '\0';
  for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
    snprintf(place, sizeof place, "%s%s", binary, beside[i]);
    if (has_library(place)) return realpath(place, root) != NULL;
  }
  return false;
}

/* Puts `first` (consumed) before package[name]. -1 +0 */
static void prepend(lua_State *L, const char *name) {
  lua_getglobal(L, "package");
  lua_insert(L, -2);
  lua_getfield(L, -2, name);
  lua_concat(L, 2);
  lua_setfield(L, -2, name);
  lua_pop(L, 1);
}

/* Our modules, then the policy's own, then LuaJIT's default. -0 +0 */
static void set_search_path(lua_State *L, const char *root) {
  struct vm *vm = vm_of(L);
  const char *own = vm->directory.len ? vm->directory.ptr : "./";
  lua_pushfstring(L, "%s/lua/?.lua;%s/lua/?/init.lua;%s?.lua;%s?/init.lua;", root, root, own, own);
  prepend(L, "path");
  lua_pushfstring(L, "%s?.so;", own);
  prepend(L, "cpath");
}

/* A searcher for `require`: "perilune.x" is scripts/x.lua, unless lua/perilune/x.lua was found before. -0 +1
 */
static int search_scripts(lua_State *L) {
  const char *name = luaL_checkstring(L, 1);
  if (strncmp(name, "perilune.", 9) != 0) return 0;
  const char *root = lua_tostring(L, lua_upvalueindex(1));
  lua_pushfstring(L, "%s/scripts/%s.lua", root, luaL_gsub(L, name + 9, ".", "/"));
  const char *file = lua_tostring(L, -1);
  if (access(file, R_OK) != 0) {
    lua_pushfstring(L, "\n\tno file '%s'", file);
  } else if (fence_load_file(L, file) != 0) {
    lua_error(L);
  }
  return 1;
}

/* -0 +0 */
static void add_searcher(lua_State *L, const char *root) {
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "loaders");
  lua_pushstring(L, root);
  lua_pushcclosure(L, search_scripts, 1);
  lua_rawseti(L, -2, (int)lua_objlen(L, -2) + 1);
  lua_pop(L, 2);
}

/* -0 +0 */
static int open_all(lua_State *L) {
  char root[PATH_MAX];
  luaL_openlibs(L);
  open_lost(L);
  open_cap(L);
  open_fence(L);
  open_limits(L);
  if (!find_library(root))
    return luaL_error(L, "perilune's Lua modules were found neither beside the binary nor in ../share");
  vm_of(L)->library = (struct str){str_to_cstring(str_of(root)), strlen(root)};
  set_search_path(L, root);
  add_searcher(L, root);
  open_library(L);
  return 0;
}
