// SPDX-License-Identifier: Apache-2.0
// spawn: perilune.spawn in hooks and background work: a task that runs concurrently with the calling one. If a hook
// spawned it, it belongs to the exchange and ends with it. lua/perilune/spawn.lua waits for tasks.
//
// The handle is the struct. While its task runs, the registry keeps it alive; after that the results are on the task's
// coroutine, until the handle is collected or the exchange ends.
#include "lua/api/spawn.h"

#include <lauxlib.h>
#include <math.h>

#include "base/container.h"
#include "base/memory.h"
#include "lua/vm/background.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/script.h"
#include "lua/vm/task.h"
#include "lua/vm/vm.h"
#include "exchange/exchange.h"

enum {
  ARGUMENTS_MOST = 15,     /* there is room for them on every coroutine */
  RUNNING_MOST = 20000,    /* at once in a VM: each has a coroutine, and is woken once a turn */
  WAKES_MOST = 32,         /* on the C stack at once */
  WAIT_MOST_S = 1000000000 /* longer is for ever */
};

enum spawned_state { SPAWNED_RUNS, SPAWNED_RETURNED, SPAWNED_FAILED, SPAWNED_STOPPED };

struct spawned {
  struct handle handle;
  struct list link;    /* in the group of its exchange, or of the vm */
  struct list wait;    /* in waiter->awaited */
  struct vm *vm;       /* borrowed */
  struct task *task;   /* owned; NULL once it is stopped */
  struct task *waiter; /* borrowed: parked in perilune.wait, while `wait` is in a list */
  int anchor;          /* registry, while it runs */
  enum spawned_state state;
  bool is_held; /* counted as background work */
};

/* The spawned tasks of an exchange; in its arena. */
struct task_group {
  struct at_end at_end;
  struct list members;
};

static void on_task_end(struct task *task, enum task_status status);
static void on_exchange_end(struct at_end *at_end);

/* --- begin ---------------------------------------------------------------------------------------------- */

static struct list *group_of(struct vm *vm) {
  struct script *script = vm->running->script;
  if (!script) return &vm->spawned;
  if (!script->task_group) {
    script->task_group = arena_alloc(&script->x->arena, sizeof *script->task_group);
    list_init(&script->task_group->members);
    script_at_end(script, &script->task_group->at_end, on_exchange_end);
  }
  return &script->task_group->members;
}

/* The function is at 1, its arguments are behind it. -0 +1 */
static struct spawned *make(lua_State *L) {
  struct vm *vm = vm_of(L);
  struct spawned *s = handle_new(L, HANDLE_SPAWNED, sizeof *s);
  list_init(&s->link);
  list_init(&s->wait);
  s->vm = vm;
  s->state = SPAWNED_STOPPED;
  s->anchor = LUA_NOREF;
  s->task = task_new(vm, s, on_task_end);
  if (!s->task) luaL_error(L, "perilune.spawn: not enough memory");
  s->task->script = vm->running->script;
  s->task->hook = TASK_NO_HOOK;
  s->task->span = vm->running->span;
  list_push_back(group_of(vm), &s->link);
  return s;
}

/* The handle of a task for the function at 1 and its arguments, which are on its coroutine. -n +1 */
static struct spawned *make_ready(lua_State *L, int count) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  if (count > ARGUMENTS_MOST) luaL_error(L, "perilune.spawn: too many arguments");
  if (vm_of(L)->spawned_count >= RUNNING_MOST)
    handle_raise(L, "perilune.spawn: %d tasks run already in this worker", RUNNING_MOST);
  struct spawned *s = make(L);
  lua_pushvalue(L, -1);
  s->anchor = luaL_ref(L, LUA_REGISTRYINDEX);
  for (int i = 1; i <= count; i++) lua_pushvalue(L, i);
  lua_xmove(L, s->task->co, count);
  s->state = SPAWNED_RUNS;
  s->vm->spawned_count++;
  s->is_held = !s->task->script;
  if (s->is_held) background_begin(s->vm);
  return s;
}

int spawn_task(lua_State *L) {
  int count = lua_gettop(L);
  task_start_soon(make_ready(L, count)->task, count - 1);
  return 1;
}

/* core.spawn_now(fn, ...): the same, but it runs at once, until it waits or ends -n +1 */
static int spawn_now(lua_State *L) {
  int count = lua_gettop(L);
  task_to_park(L, "a thread");
  struct spawned *s = make_ready(L, count);
  struct task *task = s->task;
  enum task_status status = task_start(task, count - 1);
  if (status != TASK_WAITS && s->task == task && s->state == SPAWNED_RUNS) on_task_end(task, status);
  return 1;
}

/* --- end ------------------------------------------------------------------------------------------------ */

static void unanchor(struct spawned *s) {
  luaL_unref(s->vm->L, LUA_REGISTRYINDEX, s->anchor);
  s->anchor = LUA_NOREF;
}

static void let_go(struct spawned *s) {
  bool was_held = s->is_held;
  s->is_held = false;
  if (was_held) background_end(s->vm);
}

static bool is_awaited(const struct spawned *s) { return !list_is_empty(&s->wait); }

static struct task *take_waiter(struct spawned *s) {
  struct task *waiter = is_awaited(s) ? s->waiter : NULL;
  list_remove(&s->wait);
  return waiter;
}

/* Whose end wakes a task that ends, and so on: a chain of tasks that wait for each other would be as deep on the C
 * stack. Beyond some it goes on in the next turn of the loop. */
static void wake(struct task *waiter) {
  static _Thread_local unsigned depth;
  if (depth == WAKES_MOST) {
    task_wake_soon(waiter);
    return;
  }
  depth++;
  task_wake(waiter);
  depth--;
}

/* A task that waits for it is woken from the loop. This must come last: the waiter may end the exchange. */
static void on_task_end(struct task *task, enum task_status status) {
  struct spawned *s = task->owner;
  struct task *waiter = take_waiter(s);
  s->vm->spawned_count--;
  s->state = status == TASK_DONE ? SPAWNED_RETURNED : SPAWNED_FAILED;
  if (status == TASK_FAILED && !waiter) task_log_error(task, "perilune.spawn");
  unanchor(s);
  let_go(s);
  if (waiter) wake(waiter);
}

/* Leaves no task and no results. A task that waits for it, maybe of another exchange, is woken. The task is forgotten
 * before it is freed, and the handle, which nothing anchors any more, is not looked at behind that. */
static void drop(struct spawned *s) {
  struct task *waiter = take_waiter(s), *task = s->task;
  if (s->state == SPAWNED_RUNS) {
    s->vm->spawned_count--;
    s->state = SPAWNED_STOPPED;
  }
  s->task = NULL;
  list_remove(&s->link);
  let_go(s);
  unanchor(s);
  if (task) task_free(task);
  if (waiter) task_wake_soon(waiter);
}

static void on_exchange_end(struct at_end *at_end) {
  struct task_group *task_group = CONTAINER_OF(at_end, struct task_group, at_end);
  LIST_EACH(node, &task_group->members) drop(LIST_ENTRY(node, struct spawned, link));
}

void spawned_free(struct vm *vm) {
  LIST_EACH(node, &vm->spawned) drop(LIST_ENTRY(node, struct spawned, link));
}

static void end(void *handle) { drop(handle); }

/* --- methods -------------------------------------------------------------------------------------------- */

static struct spawned *check(lua_State *L, int index) { return handle_check(L, index, HANDLE_SPAWNED); }

/* task:stop(): ends it where it waits; harmless when it has ended -1 +0 */
static int stop(lua_State *L) {
  struct spawned *s = check(L, 1);
  if (s->state != SPAWNED_RUNS) return 0;
  if (s->task == s->vm->running) return luaL_error(L, "a task cannot stop itself: it can return");
  drop(s);
  return 0;
}

/* task:status() -1 +1 */
static int status(lua_State *L) {
  static const char *const names[] = {"running", "returned", "failed", "stopped"};
  lua_pushstring(L, names[check(L, 1)->state]);
  return 1;
}

/* The task at position `i` of the list at 1. -0 +0 */
static struct spawned *member(lua_State *L, int i) {
  lua_rawgeti(L, 1, i);
  struct spawned *s = handle_test(L, -1, HANDLE_SPAWNED);
  if (!s)
    handle_raise(L, "perilune.wait: expected tasks, as perilune.spawn gives them, got %s",
                 luaL_typename(L, -1));
  lua_pop(L, 1);
  return s;
}

/* core.spawned_running(list): how many of them still run -1 +1 */
static int running(lua_State *L) {
  int count = 0;
  luaL_checktype(L, 1, LUA_TTABLE);
  for (int i = (int)lua_objlen(L, 1); i > 0; i--) count += member(L, i)->state == SPAWNED_RUNS;
  lua_pushinteger(L, count);
  return 1;
}

/* --- waiting -------------------------------------------------------------------------------------------- */

/* Each of the list at 1 that still runs will wake this task; where one cannot, none does. -0 +0 */
static void set_waiter(lua_State *L, struct task *waiter) {
  luaL_checktype(L, 1, LUA_TTABLE);
  int count = (int)lua_objlen(L, 1);
  for (int i = 1; i <= count; i++) {
    const struct spawned *s = member(L, i);
    if (s->task == waiter) handle_raise(L, "perilune.wait: a task cannot wait for itself");
    if (is_awaited(s)) handle_raise(L, "perilune.wait: another task waits for it already");
  }
  for (int i = 1; i <= count; i++) {
    struct spawned *s = member(L, i);
    if (s->state != SPAWNED_RUNS || is_awaited(s)) continue;
    s->waiter = waiter;
    list_push_back(&waiter->awaited, &s->wait);
  }
}

/* core.spawned_await(list [, seconds]): until one of them has ended, or the time is over. Whoever ends or wakes
 * the task that waits clears its list. -2 +0 (yields) */
static int await(lua_State *L) {
  struct task *waiter = task_to_park(L, "perilune.wait");
  lua_Number seconds = luaL_optnumber(L, 2, -1);
  set_waiter(L, waiter);
  waiter->timer.patient = true; /* what it waits for has its own time, which may be given once more */
  /* Rounded up: whoever waits until a moment would else wait for 0 ms again and again in its last half millisecond. */
  if (seconds >= 0 && seconds <= WAIT_MOST_S) timer_set(&waiter->timer, (uint64_t)ceil(seconds * 1000));
  return task_wait(L, NULL, NULL);
}

/* core.spawned_results(task): all of them; or what it raised is raised here -1 +n */
static int results(lua_State *L) {
  struct spawned *s = check(L, 1);
  if (s->state == SPAWNED_STOPPED) return handle_raise(L, "perilune.wait: the task was stopped");
  if (s->state == SPAWNED_RUNS) return task_not_done(L, "perilune.wait");
  if (!s->task) return handle_raise(L, "perilune.wait: what the task gave is gone with its exchange");
  if (s->task->strayed) return handle_raise(L, "perilune.wait: the task yielded to nobody");
  lua_State *co = s->task->co;
  int top = lua_gettop(co), first = s->state == SPAWNED_RETURNED ? 1 : top;
  luaL_checkstack(L, top, "too many results");
  for (int i = first; i <= top; i++) {
    lua_pushvalue(co, i);
    lua_xmove(co, L, 1);
  }
  return s->state == SPAWNED_RETURNED ? top : lua_error(L);
}

static const luaL_Reg methods[] = {{"stop", stop}, {"status", status}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"spawn_now", spawn_now},
                                     {"spawned_running", running},
                                     {"spawned_await", await},
                                     {"spawned_results", results},
                                     {NULL, NULL}};

void open_spawn(lua_State *L) {
  handle_define(L, HANDLE_SPAWNED, "perilune.task", methods, NULL);
  handle_set_end(L, HANDLE_SPAWNED, end);
  luaL_register(L, NULL, functions);
}
