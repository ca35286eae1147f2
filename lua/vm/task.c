// SPDX-License-Identifier: Apache-2.0
// task: runs coroutines, and is the only file that enters Lua (lua_resume, lua_cpcall). Coroutines that
// have returned are reused, which costs a tenth of a new one; those that raised an error, or were ended while they
// waited, are left to the collector. The hard problem is who may free what while a coroutine is on the C stack: a
// task is freed by its owner, never while it runs, and it is woken only from the loop.
#include "lua/vm/task.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/container.h"
#include "base/log.h"
#include "base/memory.h"
#include "lua/vm/lost.h"
#include "lua/vm/profiler.h"
#include "lua/vm/vm.h"
#include "lua/vm/watchdog.h"

enum { SPARE_TASKS = 256, TASKS_PER_PACE = 64, IDLE_BYTES = 1024 << 10 };

static void on_timer(struct timer *timer);

/* --- new and free --------------------------------------------------------------------------------------- */

static struct task *take_spare(struct vm *vm) {
  struct task *task = vm->last_task;
  vm->last_task = NULL;
  if (task || list_is_empty(&vm->spare_tasks)) return task;
  task = LIST_ENTRY(vm->spare_tasks.next, struct task, link);
  list_remove(&task->link);
  vm->spare_count--;
  return task;
}

/* Makes the coroutine of a task. -0 +0 */
static int make_coroutine(lua_State *L) {
  struct task *task = lua_touserdata(L, 1);
  task->co = lua_newthread(L);
  task->ref = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

static struct task *make(struct vm *vm) {
  struct task *task = memory_zalloc(sizeof *task);
  char *why = task_protect(vm, make_coroutine, task);
  if (why) {
    free(why);
    free(task);
    return NULL;
  }
  task->vm = vm;
  list_init(&task->link);
  list_init(&task->awaited);
  timer_init(&task->timer, vm->host.loop, on_timer);
  return task;
}

/* -0 +0 */
static int collect(lua_State *L) {
  lua_gc(L, LUA_GCCOLLECT, 0);
  return 0;
}

/* LuaJIT collects when memory has doubled, which may be beyond the cap. So from half of what is free on, we
 * do. */
void task_collect(struct vm *vm) {
  free(task_protect(vm, collect, NULL));
  size_t left =
      vm->memory.cap_bytes > vm->memory.used_bytes ? vm->memory.cap_bytes - vm->memory.used_bytes : 0;
  size_t step = left / 2 > vm->memory.cap_bytes / 64 ? left / 2 : vm->memory.cap_bytes / 64;
  vm->use.collect_at_bytes = vm->lost.why ? 0 : vm->memory.used_bytes + step;
}

/* LuaJIT begins a cycle when memory has doubled. Small states, which most are, may hold more garbage than
 * that: to mark what lives again for each hundred kilobytes would cost more than the hooks do. */
static void pace_collector(struct vm *vm) {
  size_t used = vm->memory.used_bytes, room = used > IDLE_BYTES / 2 ? 2 * used : IDLE_BYTES;
  lua_gc(vm->L, LUA_GCSETPAUSE, (int)(room * 100 / used));
}

/* The collector is heeded, or there is none to run again but in the list. */
static __attribute__((cold)) struct task *take_slowly(struct vm *vm) {
  if (vm->memory.used_bytes >= vm->use.collect_at_bytes) task_collect(vm);
  if (vm->lost.why) return NULL;
  if (vm->task_count % TASKS_PER_PACE == 0) pace_collector(vm);
  struct task *task = take_spare(vm);
  return task ? task : make(vm);
}

/* The one that was freed last is not even in the list: most tasks begin and end before the next. */
struct task *task_take(struct vm *vm) {
  struct task *task = vm->last_task;
  bool is_due = ++vm->task_count % TASKS_PER_PACE == 0;
  if (!task || is_due || vm->memory.used_bytes >= vm->use.collect_at_bytes) return take_slowly(vm);
  vm->last_task = NULL;
  return task;
}

struct task *task_new(struct vm *vm, void *owner, task_end_fn *on_end) {
  struct task *task = task_take(vm);
  if (!task) return NULL;
  task->owner = owner;
  task->on_end = on_end;
  task->script = NULL;
  task->hook = TASK_NO_HOOK;
  task->place = NULL;
  task->refusal = ERROR_NONE;
  task->span = 0;
  list_push_front(&vm->tasks, &task->link);
  return task;
}

/* What failed for want of memory may hold most of it: that is collected before the next task begins. Not here, where
 * Lua may run, or the collector. */
static void dispose(struct task *task) {
  struct vm *vm = task->vm;
  if (task->starved) vm->use.collect_at_bytes = 0;
  list_remove(&task->link);
  timer_stop(&task->timer);
  luaL_unref(vm->L, LUA_REGISTRYINDEX, task->ref);
  free(task);
}

/* What it has waited for, in which way ever, wakes it no more: a coroutine that waits for several things can
 * go on without its task. */
static void end_wait(struct task *task) {
  task->cancel = NULL;
  if (task->note) profiler_wait_ends(task);
  timer_clear(&task->timer);
  LIST_EACH(node, &task->awaited) list_remove(node);
}

void task_cancel_wait(struct task *task) {
  void (*cancel)(void *) = task->cancel;
  end_wait(task);
  cancel(task->what);
}

static __attribute__((noinline)) void free_slowly(struct task *task) {
  struct vm *vm = task->vm;
  bool is_reusable = !task->failed && !task->cancel && vm->spare_count < SPARE_TASKS;
  if (task->cancel) task_cancel_wait(task);
  if (!is_reusable) {
    dispose(task);
    return;
  }
  if (lua_gettop(task->co) > 0) lua_settop(task->co, 0);
  list_remove(&task->link);
  list_push_front(&vm->spare_tasks, &task->link);
  vm->spare_count++;
}

void task_free(struct task *task) {
  struct vm *vm = task->vm;
  if (vm->last_task || task->failed || task->cancel) {
    free_slowly(task);
    return;
  }
  if (lua_gettop(task->co) > 0) lua_settop(task->co, 0);
  if (!list_is_empty(&task->link)) list_remove(&task->link);
  vm->last_task = task;
}

void tasks_free(struct vm *vm) {
  LIST_EACH(node, &vm->tasks) task_free(LIST_ENTRY(node, struct task, link));
  if (vm->last_task) dispose(vm->last_task);
  vm->last_task = NULL;
  LIST_EACH(node, &vm->spare_tasks) dispose(LIST_ENTRY(node, struct task, link));
}

void tasks_bind(struct vm *vm) {
  if (vm->last_task) vm->last_task->timer.loop = vm->host.loop;
  LIST_EACH(node, &vm->spare_tasks) LIST_ENTRY(node, struct task, link)->timer.loop = vm->host.loop;
  CHECK(list_is_empty(&vm->tasks)); /* nothing waits while a policy loads */
}

/* --- run ------------------------------------------------------------------------------------------------ */

enum { LEFT = -1 }; /* the Lua state was given up */

/* Resumes the coroutine, where there is one, or calls the function. */
static inline int call_plainly(struct vm *vm, lua_State *co, int arguments, lua_CFunction function,
                               void *argument) {
  return co ? lua_resume(co, arguments) : lua_cpcall(vm->L, function, argument);
}

/* The same so that it can be left. Of nested calls the outermost alone can be. */
static __attribute__((noinline)) int call_lua(struct vm *vm, lua_State *co, int arguments,
                                              lua_CFunction function, void *argument) {
  if (vm->lost.why) return LEFT;
  if (vm->depth > 1) return call_plainly(vm, co, arguments, function, argument);
  if (LANDING_SET(vm->landing.place) != 0) return LEFT;
  vm->landing.is_set = true;
  int status = call_plainly(vm, co, arguments, function, argument);
  vm->landing.is_set = false;
  return status;
}

/* What the task waits for will not come, if it waits: it fails, from the loop. */
static void abandon(struct task *task) {
  if (!task->cancel) return;
  task_cancel_wait(task);
  task_wake_soon(task);
}

/* The state was replaced: what waited in it fails, from the loop, and the host loads the policy again. */
static void abandon_all(struct vm *vm) {
  LIST_EACH(node, &vm->tasks) abandon(LIST_ENTRY(node, struct task, link));
  if (vm->host.on_lost) vm->host.on_lost(&vm->host, vm->policy);
}

static __attribute__((cold)) void leave(struct vm *vm, struct task *task) {
  if (task) task->failed = true;
  if (task) task->overran = vm->lost.why == LOST_TIME;
  if (vm->lost.is_replaced) return;
  profiler_vm_ends(vm); /* writes to the lost state for the last time */
  lost_replace(vm);
  abandon_all(vm);
}

static enum task_status fail(struct task *task, int status) {
  task->failed = true;
  task->starved = status == LUA_ERRMEM;
  return TASK_FAILED;
}

/* However it ended after that: the error may have been caught. */
static __attribute__((cold)) enum task_status overrun(struct task *task) {
  task->overran = task->failed = true;
  return TASK_FAILED;
}

/* One that was taken is listed from now on: its vm may end before it. */
static enum task_status wait_on(struct task *task) {
  if (list_is_empty(&task->link)) list_push_front(&task->vm->tasks, &task->link);
  return TASK_WAITS;
}

/* It did not return. */
static __attribute__((noinline)) enum task_status paused(struct task *task, int status) {
  if (status != LUA_YIELD) return fail(task, status);
  if (task->cancel) return wait_on(task);
  task->strayed = true;
  return fail(task, status);
}

static enum task_status run(struct task *task, int arguments) {
  struct task *outer = task->vm->running;
  struct vm *vm = task->vm;
  vm->running = task;
  vm->watch.co = task->co;
  watch_enter(vm, task->place, task->hook);
  int status = call_lua(vm, task->co, arguments, NULL, NULL);
  if (status == LEFT) leave(vm, task);
  watch_leave(vm);
  vm->running = outer;
  vm->watch.co = outer ? outer->co : NULL;
  if (status == LEFT) return TASK_FAILED;
  if (vm->watch.overran) return overrun(task);
  return status == 0 ? TASK_DONE : paused(task, status);
}

static void nothing_to_cancel(void *what) { (void)what; }

void task_start_soon(struct task *task, int arguments) {
  task->arguments = arguments;
  task_wake_soon(task);
}

/* Flat, for each hook comes this way. */
__attribute__((flatten)) enum task_status task_start(struct task *task, int arguments) {
  return run(task, arguments);
}

void task_wake(struct task *task) {
  int arguments = task->arguments;
  if (task->script) task_note_wait_end(task);
  end_wait(task);
  task->arguments = 0;
  enum task_status status = run(task, arguments);
  loop_update_now(task->vm->host.loop); /* it may have run for a while: what is set next counts from now */
  if (status != TASK_WAITS) task->on_end(task, status);
}

/* --- wait (the rest is in task_wait.c) ------------------------------------------------------------------ */

void task_set_wait(struct task *task, void (*cancel)(void *what), void *what) {
  task->cancel = cancel ? cancel : nothing_to_cancel;
  task->what = what;
}

static void on_timer(struct timer *timer) { task_wake(CONTAINER_OF(timer, struct task, timer)); }

/* What it waited for may be gone before its turn comes. */
void task_wake_soon(struct task *task) {
  task->cancel = nothing_to_cancel;
  task->timer.patient = false;
  timer_set(&task->timer, 0);
}

/* What the core does for itself, to report and to clean up, must work where the policy has used up
 * everything. */
static __attribute__((cold)) int call_beyond_cap(struct vm *vm, lua_CFunction function, void *argument) {
  vm->memory.cap_bytes += VM_RESERVE_BYTES;
  watch_enter(vm, NULL, TASK_NO_HOOK);
  int status = call_lua(vm, NULL, 0, function, argument);
  if (status == LEFT) leave(vm, NULL);
  watch_leave(vm);
  vm->memory.cap_bytes -= VM_RESERVE_BYTES;
  return status;
}

char *task_protect(struct vm *vm, lua_CFunction function, void *argument) {
  int status = call_beyond_cap(vm, function, argument);
  if (status == 0) return NULL;
  if (status == LEFT) return str_to_cstring(str_of(vm->lost.text));
  const char *message =
      lua_tostring(vm->L, -1); /* of a number it would allocate, but errors of ours are text */
  char *why = str_to_cstring(str_of(message ? message : "(the error is no text)"));
  lua_pop(vm->L, 1);
  return why;
}

static __attribute__((noinline)) bool close_state(struct vm *vm) {
  if (LANDING_SET(vm->landing.place) != 0) return false;
  vm->landing.is_set = true;
  lua_close(vm->L);
  vm->landing.is_set = false;
  return true;
}

void task_close(struct vm *vm) {
  CHECK(vm->closing && vm->depth == 0);
  watch_enter(vm, "the policy that ends", TASK_NO_HOOK);
  if (!close_state(vm)) log_error("a finalizer (__gc) of a policy that ends used up its time, and was left");
  vm->L = NULL;
  vm->watch.is_armed = false; /* there is no state any more to take the hook from */
  watch_leave(vm);
}
