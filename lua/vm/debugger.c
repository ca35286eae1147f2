// SPDX-License-Identifier: Apache-2.0
// debugger: see debugger.h. The hard problem is who owns a stop. It is in the list of its thread until it is told to go
// on, or its task is freed while it waits (its client has gone, say), whichever is first; the number is what others
// know of it, so that an order which comes too late finds nothing. The text of the orders is read in Lua
// (lua/perilune/debugger.lua), in a task of its own; only what lets the task go on is done here.
//
// LuaJIT tells the locals of a frame that has yielded from a hook as they were one instruction earlier: so their names
// are taken in the hook, and the values later by their places.
#include "lua/vm/debugger.h"

#include <lauxlib.h>
#include <luajit.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/why.h"
#include "exchange/describe.h"
#include "exchange/exchange.h"
#include "lua/vm/code_lines.h"
#include "lua/vm/debug_trail.h"
#include "lua/vm/evaluation.h"
#include "lua/vm/handle.h"
#include "lua/vm/profiler.h"
#include "lua/vm/script.h"
#include "lua/vm/task.h"
#include "lua/vm/vm.h"

enum { STOPPED_MOST = 100 };

struct stop {
  struct list link; /* in `stops` */
  unsigned long number;
  struct vm *vm;     /* borrowed */
  struct task *task; /* borrowed: it waits */
  lua_State *L;      /* the coroutine, which may be one that the task has made; anchored by `frame` */
  int at;            /* the place of its frame in the stack */
  int frame;         /* registry: what debugger.lua knows of it */
};

enum step_kind { STEP_NOWHERE, STEP_IN, STEP_OVER, STEP_OUT };

struct step {
  enum step_kind kind;
  uint64_t token;          /* of the exchange, whose later hooks count too; 0: the task's alone */
  const struct task *task; /* may be gone: compared only */
  lua_State *L;            /* anchored by `anchor` */
  int anchor;              /* registry */
  int at;
};

struct debugger {
  struct policy_debug *debug; /* borrowed */
  struct step step;
  int remarked; /* the line that could not be stopped at, last */
};

static _Thread_local struct list stops; /* struct stop, of all VMs of this thread; begins with the first */

static void on_event(lua_State *L, lua_Debug *at);

static void tell(const struct vm *vm, enum stop_news news, unsigned long number, const char *text) {
  struct policy_debug *debug = vm->debugger->debug;
  debug->tell(debug, vm->host.worker, news, number, text);
}

/* --- begin ------------------------------------------------------------------------------------------------ */

/* The files may have changed since the process began. Said once for each generation. */
static void check_points(const struct policy_debug *debug) {
  for (unsigned i = 0; i < debug->count; i++) {
    char *why = NULL;
    if (code_lines_has(debug->points[i].path, debug->points[i].line, &why)) continue;
    log_warn("--break %s: %s", debug->points[i].text, why);
    free(why);
  }
}

static void set_hook(struct vm *vm) {
  bool looks = !atomic_load(&vm->debugger->debug->is_off);
  lua_sethook(vm->L, looks ? on_event : NULL, looks ? LUA_MASKLINE | LUA_MASKCALL : 0, 0);
}

void debugger_begin(struct vm *vm) {
  struct policy_debug *debug = vm->host.debug;
  if (!debug || atomic_load(&debug->is_off) || vm->lost.why) return;
  vm->debugger = memory_zalloc(sizeof *vm->debugger);
  *vm->debugger = (struct debugger){.debug = debug, .step.anchor = LUA_NOREF};
  if (vm->host.is_control) check_points(debug);
  luaJIT_setmode(vm->L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
  luaJIT_setmode(vm->L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_FLUSH);
  vm->jit_runs = false;
  vm->set_hook = set_hook;
  set_hook(vm);
}

/* --- is it a line to stop at? ----------------------------------------------------------------------------- */

static bool is_file(const char *source, const char *path) {
  char *real = realpath(source, NULL);
  bool same = strcmp(real ? real : source, path) == 0;
  free(real);
  return same;
}

static bool is_breakpoint(const struct policy_debug *debug, const lua_Debug *at) {
  for (unsigned i = 0; i < debug->count; i++) {
    const struct breakpoint *point = &debug->points[i];
    if ((int)point->line == at->currentline && is_file(at->source + 1, point->path)) return true;
  }
  return false;
}

static bool is_of_step(const struct step *step, const struct task *task) {
  return step->token ? task->script && task->script->token == step->token : task == step->task;
}

/* The coroutine whose step it is has resumed another one, or is over, or waits for the one that resumed it. */
static bool is_busy(lua_State *L) {
  lua_Debug frame;
  return lua_status(L) == 0 && lua_getstack(L, 0, &frame);
}

static bool ends_step(const struct step *step, const struct task *task, lua_State *L, int at) {
  if (step->kind == STEP_NOWHERE || !is_of_step(step, task)) return false;
  if (step->kind == STEP_IN) return true;
  if (L != step->L) return !is_busy(step->L);
  return step->kind == STEP_OVER ? at <= step->at : at < step->at;
}

/* --- stop ------------------------------------------------------------------------------------------------- */

/* The names of the locals by their places in the frame, as they are now. -0 +1 */
static void push_names(lua_State *L, const lua_Debug *at) {
  const char *name;
  lua_newtable(L);
  for (int i = 1; (name = lua_getlocal(L, at, i)); i++) {
    lua_pop(L, 1);
    if (*name == '(') continue;
    lua_pushstring(L, name);
    lua_rawseti(L, -2, i);
  }
}

/* "request_filter (GET / of client 127.0.0.1:50000)" -0 +1 */
static void push_what(lua_State *L, const struct task *task) {
  char room[DESCRIBE_BYTES] = "";
  const char *name = task->hook == TASK_NO_HOOK ? "background work" : hook_name((enum hook)task->hook);
  if (task->script) exchange_describe(task->script->x, room);
  if (task->script && task->hook == TASK_NO_HOOK) name = "a task of perilune.spawn";
  lua_pushfstring(L, "%s%s", name, room);
}

/* What debugger.lua gets: { co, names, line, what, level } -0 +1 */
static void push_frame(lua_State *L, const lua_Debug *at, const struct task *task) {
  lua_createtable(L, 0, 5);
  lua_pushthread(L);
  lua_setfield(L, -2, "co");
  push_names(L, at);
  lua_setfield(L, -2, "names");
  push_what(L, task);
  lua_setfield(L, -2, "what");
  lua_pushinteger(L, at->currentline);
  lua_setfield(L, -2, "line");
  lua_pushinteger(L, 0);
  lua_setfield(L, -2, "level");
}

static void forget(struct stop *stop) {
  struct vm *vm = stop->vm;
  evaluation_drop(vm, stop);
  list_remove(&stop->link);
  luaL_unref(vm->L, LUA_REGISTRYINDEX, stop->frame);
  atomic_fetch_sub(&vm->debugger->debug->stopped, 1);
  free(stop);
}

/* Its task ends while it is stopped. */
static void on_cancel(void *what) {
  struct stop *stop = what;
  tell(stop->vm, STOP_ENDS, stop->number,
       "what was stopped has been ended: its client has gone, or its policy ends");
  forget(stop);
}

static struct stop *make(lua_State *L, struct vm *vm, const lua_Debug *at) {
  push_frame(L, at, vm->running);
  int frame = luaL_ref(L, LUA_REGISTRYINDEX); /* what may raise an error comes first */
  struct stop *stop = memory_alloc(sizeof *stop);
  struct policy_debug *debug = vm->debugger->debug;
  *stop = (struct stop){.number = atomic_fetch_add(&debug->last, 1) + 1,
                        .vm = vm,
                        .task = vm->running,
                        .L = L,
                        .at = at->i_ci,
                        .frame = frame};
  atomic_fetch_add(&debug->stopped, 1);
  if (!stops.next) list_init(&stops);
  list_push_back(&stops, &stop->link);
  return stop;
}

static void remark(struct vm *vm, const lua_Debug *at, const char *why) {
  if (vm->debugger->remarked == at->currentline) return;
  vm->debugger->remarked = at->currentline;
  char *text = why_text("%s:%d is passed: %s", at->source + 1, at->currentline, why);
  tell(vm, STOP_REMARK, 0, text);
  free(text);
}

static const char in_c[] =
    "it runs in a function that C calls back (from string.gsub, table.sort, require, ...), "
    "where nothing can stop";

static bool may_stop(lua_State *L, struct vm *vm, const lua_Debug *at) {
  struct policy_debug *debug = vm->debugger->debug;
  if (!lua_isyieldable(L) || !lua_isyieldable(vm->running->co)) return remark(vm, at, in_c), false;
  if (atomic_load(&debug->stopped) < STOPPED_MOST) return true;
  remark(vm, at, "a hundred are stopped already");
  return false;
}

/* The coroutine goes on behind this, in the same instruction. (yields) */
static void stop_here(lua_State *L, struct vm *vm, const lua_Debug *at, bool by_step) {
  if (!may_stop(L, vm, at)) return;
  struct stop *stop = make(L, vm, at);
  if (by_step) vm->debugger->step.kind = STEP_NOWHERE;
  lua_rawgeti(L, LUA_REGISTRYINDEX, stop->frame);
  lua_getfield(L, -1, "what");
  tell(vm, by_step ? STOP_AFTER_STEP : STOP_BEGINS, stop->number, lua_tostring(L, -1));
  lua_pop(L, 2);
  task_set_wait(stop->task, on_cancel, stop);
  if (vm->profiled) profiler_wait_begins(L, stop->task);
  lua_yield(L, 0);
}

static bool is_watched(const struct vm *vm) {
  const struct task *task = vm->running;
  return task && !vm->loading && !vm->closing && !task->cancel && !evaluation_is(task);
}

/* Lua's hook, for lines and calls. */
static void on_event(lua_State *L, lua_Debug *at) {
  struct vm *vm = vm_of(L);
  struct debugger *d = vm->debugger;
  if (atomic_load_explicit(&d->debug->is_off, memory_order_relaxed)) {
    set_hook(vm);
    return;
  }
  if (!is_watched(vm)) return;
  if (at->event == LUA_HOOKCALL) {
    trail_call(L, at->i_ci);
    return;
  }
  if (!lua_getinfo(L, "Sl", at) || *at->source != '@' || handle_is_own_source(vm, at->source)) return;
  if (!trail_line(L, at->i_ci, at->currentline)) return;
  bool by_step = ends_step(&d->step, vm->running, L, at->i_ci);
  if (by_step || is_breakpoint(d->debug, at)) stop_here(L, vm, at, by_step);
}

/* --- go on ------------------------------------------------------------------------------------------------ */

static void forget_step(struct vm *vm) {
  struct step *step = &vm->debugger->step;
  luaL_unref(vm->L, LUA_REGISTRYINDEX, step->anchor);
  *step = (struct step){.anchor = LUA_NOREF};
}

/* What anchors the coroutine passes from the stop to the step. */
static void set_step(struct stop *stop, enum step_kind kind) {
  const struct script *script = stop->task->script;
  forget_step(stop->vm);
  if (kind == STEP_NOWHERE) return;
  stop->vm->debugger->step = (struct step){.kind = kind,
                                           .token = script && script->is_seated ? script->token : 0,
                                           .task = stop->task,
                                           .L = stop->L,
                                           .anchor = stop->frame,
                                           .at = stop->at};
  stop->frame = LUA_NOREF;
}

/* The VM may be gone behind this. */
static void go_on(struct stop *stop, enum step_kind kind) {
  struct task *task = stop->task;
  struct policy_debug *debug = stop->vm->debugger->debug;
  unsigned worker = stop->vm->host.worker;
  unsigned long number = stop->number;
  set_step(stop, kind);
  forget(stop);
  task_wake(task);
  debug->tell(debug, worker, STOP_ENDS, number, "");
}

static void on_answer(void *owner, bool fine, char *text, const char *action) {
  static const char *const actions[] = {"continue", "step", "next", "out"};
  struct stop *stop = owner;
  if (!action) tell(stop->vm, STOP_ANSWERS, stop->number, text);
  free(text);
  for (unsigned i = 0; fine && action && i < 4; i++) {
    if (strcmp(action, actions[i]) != 0) continue;
    go_on(stop, (enum step_kind)i);
    return;
  }
}

/* set_local(co, level, place, value): as debug.setlocal, which policies have not. -4 +0 */
static int set_local(lua_State *L) {
  lua_State *co = lua_tothread(L, 1);
  lua_Debug frame;
  if (!co || !lua_getstack(co, (int)luaL_checkinteger(L, 2), &frame)) return 0;
  lua_settop(L, 4);
  lua_xmove(L, co, 1);
  lua_setlocal(co, &frame, (int)luaL_checkinteger(L, 3));
  return 0;
}

/* -0 +2 */
static void push_arguments(lua_State *L, void *owner) {
  const struct stop *stop = owner;
  lua_rawgeti(L, LUA_REGISTRYINDEX, stop->frame);
  lua_pushcfunction(L, set_local);
}

static struct stop *find(unsigned long number) {
  for (struct list *node = stops.next; node && node != &stops; node = node->next) {
    struct stop *stop = LIST_ENTRY(node, struct stop, link);
    if (!number || stop->number == number) return stop;
  }
  return NULL;
}

void debugger_obey(unsigned long number, const char *line) {
  struct stop *stop = find(number);
  if (!line) {
    for (; stop; stop = find(0)) go_on(stop, STEP_NOWHERE);
    return;
  }
  if (!stop) return; /* that it has ended was told */
  struct evaluation_order order = {
      .text = line, .push = push_arguments, .script = stop->task->script, .owner = stop, .on_end = on_answer};
  evaluation_begin(stop->vm, "perilune.debugger", "obey", &order);
}
