// SPDX-License-Identifier: Apache-2.0
// state: makes and ends Lua states. The hard problem is that the allocator may refuse any allocation: so Lua is
// called only in protected mode, and the functions that the core uses outside it (lua_rawgeti, lua_settop)
// allocate nothing.
#include "lua/vm/state.h"

#include <lauxlib.h>
#include <lualib.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/why.h"
#include "lua/api/connection.h"
#include "lua/api/socket.h"
#include "lua/api/spawn.h"
#include "lua/api/timer.h"
#include "lua/vm/cap.h"
#include "lua/vm/evaluation.h"
#include "lua/vm/fence.h"
#include "lua/vm/finalizers.h"
#include "lua/vm/handle.h"
#include "lua/vm/library.h"
#include "lua/vm/limits.h"
#include "lua/vm/lost.h"
#include "lua/vm/modules.h"
#include "lua/vm/paths.h"
#include "lua/vm/profiler.h"
#include "lua/vm/task.h"
#include "lua/vm/vm.h"
#include "lua/vm/watchdog.h"

static int on_panic(lua_State *L);
static int open_all(lua_State *L);

static void set_no_hook(struct vm *vm) { lua_sethook(vm->L, NULL, 0, 0); }

struct vm *state_new(const struct policy_host *host, struct policy *policy, const char *script_path,
                     char **why) {
  struct vm *vm = memory_zalloc(sizeof *vm);
  vm->host = *host;
  vm->policy = policy;
  if (!vm->host.clock) vm->host.clock = &clock_system;
  paths_init(vm, script_path);
  vm->memory.beyond = cap_beyond;
  cap_set(vm, (size_t)VM_MEMORY_CAP_MIB << 20);
  vm->jit_runs = true;
  vm->set_hook = set_no_hook;
  list_init(&vm->tasks);
  list_init(&vm->spare_tasks);
  list_init(&vm->jobs);
  list_init(&vm->spawned);
  list_init(&vm->spare_sockets);
  list_init(&vm->socket_pools);
  list_init(&vm->connections);
  list_init(&vm->evaluations);
  list_init(&vm->kinds.handles);
  watch_begin(vm);
  vm->L = lua_newstate(allocator_run, &vm->memory);
  if (!vm->L) {
    why_say(why, "this build of LuaJIT takes no allocator (it needs GC64)");
  } else {
    lua_atpanic(vm->L, on_panic);
    *why = task_protect(vm, open_all, NULL);
  }
  if (!*why) return vm;
  state_free(vm);
  return NULL;
}

void state_free(struct vm *vm) {
  profiler_vm_ends(vm);
  vm->closing = true;
  if (vm->L) {
    jobs_free(vm);
    spawned_free(vm);
    connections_free(vm);
    evaluations_free(vm);
    tasks_free(vm);
    pool_free(vm);
    handles_end(vm);
    task_close(vm);
  }
  watch_end(vm);
  free(vm->debugger);
  free(vm->seats.all);
  free(vm->ctx_supply.places);
  allocator_free(&vm->memory);
  buf_release(&vm->scratch);
  paths_free(vm);
  free(vm->name_servers);
  free(vm);
}

/* An error outside of protected mode: a fault of ours. Without this line the process would end in silence. */
static int on_panic(lua_State *L) {
  log_error("Lua: unprotected error: %s", lua_tostring(L, -1));
  abort();
}

/* -0 +0 */
static int open_all(lua_State *L) {
  luaL_openlibs(L);
  open_lost(L);
  open_cap(L);
  open_fence(L);
  open_finalizers(L);
  open_limits(L);
  open_modules(L);
  open_library(L);
  return 0;
}
