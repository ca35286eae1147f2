// SPDX-License-Identifier: Apache-2.0
// evaluation: see evaluation.h. Life: made, its task runs; it ends at once, or from the loop, or after a time, or with
// its VM, or because its owner has gone. It is taken from the list before its owner is told, who may begin the next.
#include "lua/vm/evaluation.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "base/memory.h"
#include "base/why.h"
#include "lua/vm/push.h"
#include "lua/vm/task.h"
#include "lua/vm/vm.h"

enum { PATIENCE_MS = 30000 };

struct evaluation {
  struct list link;  /* in vm->evaluations */
  struct task *task; /* owned */
  struct timer timer;
  struct evaluation_order order;
  const char *module, *name; /* static; until it has begun */
};

/* --- end -------------------------------------------------------------------------------------------------- */

static void forget(struct evaluation *e) {
  list_remove(&e->link);
  timer_stop(&e->timer);
  if (e->task) task_free(e->task);
  free(e);
}

/* `action` lives on the task's stack. */
static void finish(struct evaluation *e, bool fine, char *text, const char *action) {
  struct evaluation_order order = e->order;
  char *wanted = action ? str_to_cstring(str_of(action)) : NULL;
  forget(e);
  order.on_end(order.owner, fine, text, wanted);
  free(wanted);
}

/* The place in our own module, where the text that a person has given is run, says nothing to that person. */
static char *error_of(struct task *task) {
  char *text = task_error(task, false).text;
  const char *behind = strstr(text, ": ");
  bool is_ours = behind && task->vm->library.len && str_starts_with(str_of(text), task->vm->library);
  if (is_ours) memmove(text, behind + 2, strlen(behind + 2) + 1);
  return text;
}

static void on_end(struct task *task, enum task_status status) {
  struct evaluation *e = task->owner;
  if (status != TASK_DONE) {
    finish(e, false, error_of(task), NULL);
    return;
  }
  lua_State *co = task->co;
  bool is_text = lua_gettop(co) > 0 && lua_type(co, 1) == LUA_TSTRING;
  const char *action = lua_gettop(co) > 1 && lua_type(co, 2) == LUA_TSTRING ? lua_tostring(co, 2) : NULL;
  finish(e, true, str_to_cstring(str_of(is_text ? lua_tostring(co, 1) : "")), action);
}

static void on_time(struct timer *timer) {
  struct evaluation *e = CONTAINER_OF(timer, struct evaluation, timer);
  finish(e, false, why_text("it has waited for %d s, and was ended", PATIENCE_MS / 1000), NULL);
}

void evaluation_drop(struct vm *vm, const void *owner) {
  LIST_EACH(node, &vm->evaluations) {
    struct evaluation *e = LIST_ENTRY(node, struct evaluation, link);
    if (e->order.owner == owner) forget(e);
  }
}

void evaluations_free(struct vm *vm) {
  LIST_EACH(node, &vm->evaluations)
  finish(LIST_ENTRY(node, struct evaluation, link), false, why_text("the policy that it ran in has ended"),
         NULL);
}

bool evaluation_is(const struct task *task) { return task->on_end == on_end; }

/* --- begin ------------------------------------------------------------------------------------------------ */

/* Puts the function and what it is given onto the task's coroutine. -0 +0 */
static int prepare(lua_State *L) {
  struct evaluation *e = lua_touserdata(L, 1);
  int before = lua_gettop(L);
  push_function(L, e->module, e->name);
  lua_pushstring(L, e->order.text);
  if (e->order.push) e->order.push(L, e->order.owner);
  lua_xmove(L, e->task->co, lua_gettop(L) - before);
  return 0;
}

static struct evaluation *make(struct vm *vm, const struct evaluation_order *order) {
  struct evaluation *e = memory_zalloc(sizeof *e);
  e->order = *order;
  timer_init(&e->timer, vm->host.loop, on_time);
  list_push_back(&vm->evaluations, &e->link);
  e->task = vm->lost.why ? NULL : task_new(vm, e, on_end);
  if (!e->task) return e;
  e->task->script = order->script;
  e->task->place = "what a person evaluates";
  return e;
}

void evaluation_begin(struct vm *vm, const char *module, const char *name,
                      const struct evaluation_order *order) {
  struct evaluation *e = make(vm, order);
  e->module = module;
  e->name = name;
  char *why = e->task
                  ? task_protect(vm, prepare, e)
                  : why_text(vm->lost.why ? "this VM was given up, and the policy is loaded again: try again"
                                          : "there is no memory for it in this VM");
  if (why) {
    finish(e, false, why, NULL);
    return;
  }
  enum task_status status = task_start(e->task, lua_gettop(e->task->co) - 1);
  if (status == TASK_WAITS)
    timer_set(&e->timer, PATIENCE_MS);
  else
    on_end(e->task, status);
}

/* --- the repl --------------------------------------------------------------------------------------------- */

struct text_evaluation {
  policy_evaluated *on_end;
  void *owner;
};

/* `action` is "error" or "more", or there is none. */
static void on_text_end(void *owner, bool fine, char *text, const char *action) {
  struct text_evaluation *t = owner;
  bool is_part = action && strcmp(action, "more") == 0;
  t->on_end(t->owner, is_part ? EVALUATED_IN_PART : fine && !action ? EVALUATED : EVALUATED_WITH_ERROR, text);
  free(t);
}

void evaluation_of_text(struct vm *vm, const char *text, void (*push)(lua_State *L, void *unused),
                        policy_evaluated *on_text, void *owner) {
  struct text_evaluation *t = memory_alloc(sizeof *t);
  *t = (struct text_evaluation){on_text, owner};
  struct evaluation_order order = {.text = text, .push = push, .owner = t, .on_end = on_text_end};
  evaluation_begin(vm, "perilune.inspect", "evaluate", &order);
}
