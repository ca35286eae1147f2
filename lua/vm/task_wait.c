// SPDX-License-Identifier: Apache-2.0
// task_wait: how Lua code waits: a C function of the API parks the running task, and the coroutine yields to the
// core. The hard problem is a coroutine that the policy has made: it yields to the code that resumed it. So
// `coroutine.resume` and `wrap` are replaced, and pass a wait on until it reaches the task.
#include <lauxlib.h>

#include "exchange/live_trace.h"
#include "lua/vm/handle.h"
#include "lua/vm/profiler.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/script.h"
#include "lua/vm/stack.h"
#include "lua/vm/task.h"
#include "lua/vm/vm.h"

/* A coroutine of the policy that waits yields this to the code that resumed it, up to the task: see coroutines. */
static char waits;

int task_wait(lua_State *L, void (*cancel)(void *what), void *what) {
  struct task *task = vm_of(L)->running;
  task_set_wait(task, cancel, what);
  if (task->vm->profiled) profiler_wait_begins(L, task);
  if (L == task->co) return lua_yield(L, 0);
  lua_pushlightuserdata(L, &waits);
  return lua_yield(L, 1);
}

/* Checked before anything is told of the task that waits: where a yield raises, it would be told for ever. */
static const char no_wait_in_c[] = "waits, and nothing can wait in a function that C calls back (from "
                                   "string.gsub, table.sort, require, ...)";

/* Is it the hook of an exchange at which people look on? */
static bool is_watched(const struct task *task) {
  return task->script && task->hook != TASK_NO_HOOK && task->script->x->account.live;
}

void task_note_wait_end(struct task *task) {
  if (is_watched(task)) live_note_wait_end(task->script->x);
}

/* Where in the policy; people look on at its exchange. */
static void note_wait(lua_State *L, const struct task *task, const char *call) {
  lua_Debug frame;
  bool is_known = lua_getstack(L, handle_policys_level(L, 0), &frame) && lua_getinfo(L, "Sl", &frame);
  unsigned line = is_known && frame.currentline > 0 ? (unsigned)frame.currentline : 0;
  live_note_wait(task->script->x, call, is_known ? frame.short_src : NULL, line);
}

struct task *task_to_park(lua_State *L, const char *call) {
  struct vm *vm = vm_of(L);
  if (vm->loading)
    handle_raise(L, "%s waits, and nothing can wait while the policy loads: see perilune.spawn", call);
  if (!vm->running) handle_raise(L, "%s waits, and only a hook or background work can do that", call);
  if (!lua_isyieldable(L)) handle_raise(L, "%s %s", call, no_wait_in_c);
  loop_update_now(vm->host.loop); /* the hook may have run for a while */
  if (is_watched(vm->running)) note_wait(L, vm->running, call);
  return vm->running;
}

int task_not_done(lua_State *L, const char *call) {
  return handle_raise(L, "%s was still waiting when its coroutine was resumed", call);
}

/* The running task will not wait after all: a coroutine of the policy does, and C has called the one that
 * resumed it. What a resume gives that fails. -0 +2 */
static int give_up_wait(lua_State *L) {
  struct task *task = vm_of(L)->running;
  if (task && task->cancel) task_cancel_wait(task);
  lua_pushboolean(L, 0);
  lua_pushfstring(L, "a coroutine %s", no_wait_in_c);
  return 2;
}

/* A coroutine that a debugger has stopped has yielded nothing; but its task waits. -0 +1 */
static int is_stopped(lua_State *L) {
  const struct task *task = vm_of(L)->running;
  lua_pushboolean(L, task && task->cancel);
  return 1;
}

/* coroutine.resume and wrap as policies get them: where the coroutine waits, so does the one that resumed it.
 */
static const char coroutines[] =
    "local check, waits, give_up_wait, is_stopped, create, resume, yield, isyieldable = ...\n"
    "local function pass(co, ok, first, ...)\n"
    "  local is_wait = first == waits or first == nil and is_stopped()\n"
    "  if not ok or not is_wait then return ok, first, ... end\n"
    "  if not isyieldable() then return give_up_wait() end\n"
    "  return pass(co, resume(co, yield(waits)))\n"
    "end\n"
    "local function results(ok, ...)\n"
    "  if ok then return ... end\n"
    "  error((...), 0)\n"
    "end\n"
    "function coroutine.resume(co, ...)\n"
    "  check()\n"
    "  return pass(co, resume(co, ...))\n"
    "end\n"
    "function coroutine.wrap(body)\n"
    "  local co = create(body)\n"
    "  return function(...)\n"
    "    check()\n"
    "    return results(pass(co, resume(co, ...)))\n"
    "  end\n"
    "end\n";

int task_sleep(lua_State *L, uint64_t ms) {
  struct task *task = task_to_park(L, "perilune.sleep");
  task->timer.patient = false;
  timer_set(&task->timer, ms);
  return task_wait(L, NULL, NULL);
}

/* Coroutines within coroutines have no end but memory. -0 +0 */
static int check_stack(lua_State *L) {
  stack_check_coroutine(L);
  return 0;
}

void open_task(lua_State *L) {
  static const char *const functions[] = {"create", "resume", "yield", "isyieldable"};
  push_code(L, coroutines);
  lua_pushcfunction(L, check_stack);
  lua_pushlightuserdata(L, &waits);
  lua_pushcfunction(L, give_up_wait);
  lua_pushcfunction(L, is_stopped);
  lua_getglobal(L, "coroutine");
  for (int i = 0; i < 4; i++) lua_getfield(L, -1 - i, functions[i]);
  lua_remove(L, -5);
  lua_call(L, 8, 0);
}
