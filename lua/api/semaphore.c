// SPDX-License-Identifier: Apache-2.0
// semaphore: perilune.semaphore(n): a number of places that tasks of one worker take and give back. Who waits is woken
// in order, without polling. A post gives its place to the first that waits, who runs in the next turn of the loop: so
// the place is his from then on, and goes to the next one if he is ended before.
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdlib.h>

#include "base/memory.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/task.h"
#include "lua/vm/vm.h"

enum { MOST = 1000000000 };

struct semaphore {
  struct handle handle;
  struct list waiting; /* owned: struct waiter, the first come first */
  struct list given;   /* owned: struct waiter, that have a place and have not run yet */
  lua_Integer count;   /* places that are free */
  unsigned waiters;
  bool is_taken; /* the call that ends just now has got a place */
};

struct waiter {
  struct list link;
  struct timer timer;
  struct task *task; /* borrowed: parked */
  struct semaphore *semaphore;
};

static void cancel_given(void *what);

static struct semaphore *check(lua_State *L) { return handle_check(L, 1, HANDLE_SEMAPHORE); }

static void waiter_free(struct waiter *w) {
  list_remove(&w->link);
  timer_stop(&w->timer);
  free(w);
}

/* To the first that waits, or to nobody. */
static void give(struct semaphore *s) {
  if (list_is_empty(&s->waiting)) {
    s->count++;
    return;
  }
  struct waiter *w = LIST_ENTRY(s->waiting.next, struct waiter, link);
  list_remove(&w->link);
  list_push_back(&s->given, &w->link);
  s->waiters--;
  timer_stop(&w->timer);
  task_wake_soon(w->task);
  task_set_wait(w->task, cancel_given, w);
}

/* The task is ended before its turn: the place is the next one's. */
static void cancel_given(void *what) {
  struct waiter *w = what;
  struct semaphore *s = w->semaphore;
  waiter_free(w);
  give(s);
}

/* The task is ended while it waits. */
static void cancel(void *what) {
  struct waiter *w = what;
  w->semaphore->waiters--;
  waiter_free(w);
}

static void on_due(struct timer *timer) {
  struct waiter *w = CONTAINER_OF(timer, struct waiter, timer);
  struct task *task = w->task;
  w->semaphore->is_taken = false;
  w->semaphore->waiters--;
  waiter_free(w);
  task_wake(task);
}

/* Seconds of argument 2, as ms; 0: not at all; -1: for ever. -0 +0 */
static int64_t check_ms(lua_State *L) {
  if (lua_isnoneornil(L, 2)) return -1;
  lua_Number seconds = lua_type(L, 2) == LUA_TNUMBER ? lua_tonumber(L, 2) : -1;
  if (!(seconds >= 0 && seconds <= MOST))
    handle_raise(L, "semaphore:wait: expected a number of seconds, 0 or more");
  return (int64_t)ceil(seconds * 1000);
}

/* semaphore:wait([seconds]) -2 +0 (yields) */
static int wait_start(lua_State *L) {
  struct semaphore *s = check(L);
  int64_t ms = check_ms(L);
  s->is_taken = s->count > 0;
  if (s->is_taken) s->count--;
  if (s->is_taken || ms == 0) return 0;
  struct task *task = task_to_park(L, "semaphore:wait");
  struct waiter *w = memory_zalloc(sizeof *w);
  w->task = task;
  w->semaphore = s;
  timer_init(&w->timer, vm_of(L)->host.loop, on_due);
  list_push_back(&s->waiting, &w->link);
  s->waiters++;
  if (ms > 0) timer_set(&w->timer, (uint64_t)ms);
  return task_wait(L, cancel, w);
}

/* What was given to the task that runs now. */
static bool take_given(struct semaphore *s, const struct task *task) {
  LIST_EACH(node, &s->given) {
    struct waiter *w = LIST_ENTRY(node, struct waiter, link);
    if (w->task != task) continue;
    waiter_free(w);
    return true;
  }
  return false;
}

static bool still_waits(const struct semaphore *s, const struct task *task) {
  LIST_EACH(node, &s->waiting)
  if (LIST_ENTRY(node, struct waiter, link)->task == task) return true;
  return false;
}

/* true; or nil and "timeout" -2 +1 | -2 +2 */
static int wait_result(lua_State *L) {
  struct semaphore *s = check(L);
  const struct task *task = vm_of(L)->running;
  if (still_waits(s, task)) return task_not_done(L, "semaphore:wait");
  if (s->is_taken || take_given(s, task)) {
    s->is_taken = false;
    return push_true(L);
  }
  return push_nil_why(L, "timeout");
}

/* semaphore:post([n]) -2 +0 */
static int post(lua_State *L) {
  struct semaphore *s = check(L);
  lua_Number n = luaL_optnumber(L, 2, 1);
  if (!(n >= 1 && n <= MOST && n == floor(n)))
    return handle_raise(L, "semaphore:post: expected a whole number, 1 or more");
  if ((lua_Number)s->count + n > MOST) return handle_raise(L, "semaphore:post: more than %d places", MOST);
  for (; n > 0 && !list_is_empty(&s->waiting); n--) give(s);
  s->count += (lua_Integer)n;
  return 0;
}

/* semaphore:count(): places that are free; negative: so many tasks wait -1 +1 */
static int count(lua_State *L) {
  const struct semaphore *s = check(L);
  lua_pushinteger(L, s->count - (lua_Integer)s->waiters);
  return 1;
}

/* core.semaphore(n) -1 +1 */
static int new_semaphore(lua_State *L) {
  lua_Number n = luaL_optnumber(L, 1, 0);
  if (!(n >= 0 && n <= MOST && n == floor(n)))
    return handle_raise(L, "perilune.semaphore: expected a whole number of places, 0 or more");
  struct semaphore *s = handle_new(L, HANDLE_SEMAPHORE, sizeof *s);
  list_init(&s->waiting);
  list_init(&s->given);
  s->count = (lua_Integer)n;
  return 1;
}

/* Its VM ends, or its Lua state was given up: tasks that wait would wait for ever. */
static void end(void *handle) {
  struct semaphore *s = handle;
  LIST_EACH(node, &s->waiting) {
    struct waiter *w = LIST_ENTRY(node, struct waiter, link);
    struct task *task = w->task;
    waiter_free(w);
    task_wake_soon(task);
  }
  LIST_EACH(node, &s->given) waiter_free(LIST_ENTRY(node, struct waiter, link));
}

static const luaL_Reg methods[] = {{"post", post}, {"count", count}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"semaphore", new_semaphore}, {NULL, NULL}};

void open_semaphore(lua_State *L) {
  handle_define(L, HANDLE_SEMAPHORE, "perilune.semaphore", methods, NULL);
  handle_set_end(L, HANDLE_SEMAPHORE, end);
  handle_add_waiting(L, HANDLE_SEMAPHORE, "wait", wait_start, wait_result);
  luaL_register(L, NULL, functions);
}
