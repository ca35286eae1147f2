// SPDX-License-Identifier: Apache-2.0
// timer: perilune.sleep, after, every, and spawn in the main chunk. Jobs of the main chunk run in the control worker,
// or on every worker if it says so, after the proxy has started. Jobs of a hook run in the hook's worker, and outlive
// the hook's exchange. A job of `every` never overlaps itself: its next run is due one interval after the last one
// began, but not before that has ended.
//
// A run that has begun, or that is due at once, is current work (lua/vm/background.h): it may continue after its
// policy was replaced. A run that is due later is called at once and told that it is premature, or dropped.
#include "lua/api/timer.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/container.h"
#include "base/memory.h"
#include "lua/api/spawn.h"
#include "lua/vm/background.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/task.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"

/* In a VM: each has a timer and holds its function. */
enum { JOBS_MOST = 20000 };

struct job_handle;

struct job {
  struct vm *vm;    /* borrowed */
  struct list link; /* in vm->jobs */
  struct timer timer;
  struct task *task;         /* owned; while it runs */
  uint64_t delay_ms;         /* before its first run */
  uint64_t every_ms;         /* from run to run; 0: it runs once */
  uint64_t begun_ms;         /* its last run */
  const char *call;          /* static: "perilune.every", for messages */
  int function;              /* registry */
  int anchor;                /* registry: of the handle */
  struct job_handle *handle; /* borrowed */
  bool at_end;               /* it runs once, when its policy ends */
  bool runs;
  bool is_held;      /* counted as under way */
  bool is_premature; /* told that it will not come again */
};

static void on_due(struct timer *timer);
static void on_task_end(struct task *task, enum task_status status);

/* What a policy holds of a job; it outlives the job. */
struct job_handle {
  struct handle handle;
  struct job *job; /* borrowed; NULL: it has ended, or is not for this worker */
};

static void hold(struct job *job) {
  if (!job->is_held) background_begin(job->vm);
  job->is_held = true;
}

static void let_go(struct job *job) {
  bool was_held = job->is_held;
  job->is_held = false;
  if (was_held) background_end(job->vm);
}

static void dispose(struct job *job) {
  CHECK(job->vm->background.jobs > 0);
  job->vm->background.jobs--;
  list_remove(&job->link);
  timer_stop(&job->timer);
  if (job->task) task_free(job->task);
  luaL_unref(job->vm->L, LUA_REGISTRYINDEX, job->function);
  luaL_unref(job->vm->L, LUA_REGISTRYINDEX, job->anchor);
  job->handle->job = NULL;
  let_go(job);
  free(job);
}

static void ended(struct job *job, struct task *task, enum task_status status) {
  job->task = NULL;
  job->runs = false;
  if (status == TASK_FAILED) task_log_error(task, job->call);
  task_free(task);
  if (job->every_ms == 0) {
    dispose(job);
    return;
  }
  let_go(job);
  uint64_t passed = loop_now_ms(job->vm->host.loop) - job->begun_ms;
  timer_set(&job->timer, passed < job->every_ms ? job->every_ms - passed : 0);
}

static void on_task_end(struct task *task, enum task_status status) { ended(task->owner, task, status); }

static void on_due(struct timer *timer) {
  struct job *job = CONTAINER_OF(timer, struct job, timer);
  struct task *task = task_new(job->vm, job, on_task_end);
  job->begun_ms = loop_now_ms(job->vm->host.loop);
  if (!task && job->vm->lost.why) {
    dispose(job);
    return;
  }
  if (!task) { /* no memory: what holds it may let go of it until the next try */
    timer_set(&job->timer, job->every_ms ? job->every_ms : 1000);
    return;
  }
  job->runs = true;
  hold(job);
  task->place = job->call;
  lua_rawgeti(task->co, LUA_REGISTRYINDEX, job->function);
  if (job->is_premature) lua_pushboolean(task->co, 1);
  enum task_status status = task_start(task, job->is_premature);
  if (status == TASK_WAITS)
    job->task = task;
  else
    ended(job, task, status);
}

void jobs_bind(struct vm *vm) {
  LIST_EACH(node, &vm->jobs) LIST_ENTRY(node, struct job, link)->timer.loop = vm->host.loop;
}

/* What is due at once is under way from now on. */
static void plan(struct job *job) {
  if (job->at_end && job->vm->background.state < BACKGROUND_RETIRED) return;
  if (!job->every_ms && !job->delay_ms) hold(job);
  timer_set(&job->timer, job->delay_ms);
}

void jobs_start(struct vm *vm) {
  vm->started = true;
  vm->background.state = BACKGROUND_RUNS;
  LIST_EACH(node, &vm->jobs) {
    struct job *job = LIST_ENTRY(node, struct job, link);
    if (!job->runs && !timer_is_set(&job->timer)) plan(job); /* a canary's hooks may have planned some */
  }
}

/* --- the end of the policy -------------------------------------------------------------------------------- */

struct parameters {
  const struct job *job;
  bool any;
};

/* debug.getinfo(function, "u").nparams > 0, of a Lua function. -1 +0 */
static int read_parameters(lua_State *L) {
  struct parameters *parameters = lua_touserdata(L, 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm_of(L)->function_info);
  lua_rawgeti(L, LUA_REGISTRYINDEX, parameters->job->function);
  lua_pushliteral(L, "u");
  lua_call(L, 2, 1);
  lua_getfield(L, -1, "nparams");
  parameters->any = lua_tointeger(L, -1) > 0;
  return 0;
}

static bool takes_parameter(const struct job *job) {
  struct parameters parameters = {job, false};
  free(task_protect(job->vm, read_parameters, &parameters));
  return parameters.any;
}

/* It waits for its time, which will not come. */
static void end_plan(struct job *job) {
  if (job->at_end) {
    plan(job);
    return;
  }
  if (job->every_ms == 0 && takes_parameter(job)) {
    job->is_premature = true;
    hold(job);
    timer_set(&job->timer, 0);
    return;
  }
  job->vm->background.dropped += job->every_ms == 0;
  dispose(job);
}

void jobs_retire(struct vm *vm) {
  if (vm->background.state >= BACKGROUND_RETIRED) return;
  bool ran = vm->background.state == BACKGROUND_RUNS;
  vm->background.state = BACKGROUND_RETIRED;
  LIST_EACH(node, &vm->jobs) {
    struct job *job = LIST_ENTRY(node, struct job, link);
    if (job->runs)
      job->every_ms = 0;
    else if (!ran && !timer_is_set(&job->timer))
      dispose(job); /* of a policy that never came into force */
    else if (!job->is_held)
      end_plan(job);
  }
  background_report(vm);
}

void jobs_cut(struct vm *vm) {
  vm->background.state = BACKGROUND_CUT;
  jobs_free(vm);
  spawned_free(vm);
}

void jobs_free(struct vm *vm) {
  LIST_EACH(node, &vm->jobs) dispose(LIST_ENTRY(node, struct job, link));
  background_report(vm);
}

/* --- from Lua ------------------------------------------------------------------------------------------- */

/* Of a number of seconds, also 0, or of a text. -0 +0 */
static uint64_t check_ms(lua_State *L, int index, const char *call) {
  unsigned ms;
  lua_Number seconds = lua_isnumber(L, index) ? lua_tonumber(L, index) : -1;
  if (seconds >= 0 && seconds <= 1e9) return (uint64_t)(seconds * 1000 + 0.5);
  if (!duration_at(L, index, &ms)) {
    handle_check_dot(L, call);
    handle_raise(
        L, "%s: expected a number of seconds, 0 or more, or a text such as '500ms', '30s', '5m' or '1h'",
        call);
  }
  return ms;
}

/* Makes a job of the function at `index`, and its handle. -0 +1 */
static int add(lua_State *L, int index, struct job wanted, bool everywhere) {
  struct vm *vm = vm_of(L);
  luaL_checktype(L, index, LUA_TFUNCTION);
  if (vm->background.jobs >= JOBS_MOST)
    return handle_raise(L, "%s: %d timers wait already in this worker; stop those that are not needed",
                        wanted.call, JOBS_MOST);
  struct job_handle *handle = handle_new(L, HANDLE_JOB, sizeof *handle);
  if (vm->loading && !everywhere && !vm->host.is_control) return 1;
  lua_pushvalue(L, index);
  wanted.function = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pushvalue(L, -1);
  wanted.anchor = luaL_ref(L, LUA_REGISTRYINDEX);
  wanted.vm = vm;
  wanted.handle = handle;
  struct job *job = handle->job = memory_alloc(sizeof *job);
  *job = wanted;
  timer_init(&job->timer, vm->host.loop, on_due);
  list_push_back(&vm->jobs, &job->link);
  vm->background.jobs++;
  if (vm->loading) return 1;
  if (vm->background.state == BACKGROUND_CUT ||
      (vm->background.state == BACKGROUND_RETIRED && wanted.every_ms))
    dispose(job); /* an exchange of an older policy asks */
  else if (vm->background.state == BACKGROUND_RETIRED && wanted.delay_ms)
    end_plan(job);
  else
    plan(job);
  return 1;
}

/* job:stop(): it does not run again. A run that is under way goes on to its end. -1 +0 */
static int stop(lua_State *L) {
  struct job_handle *handle = handle_check(L, 1, HANDLE_JOB);
  struct job *job = handle->job;
  if (!job) return 0;
  job->every_ms = 0;
  if (!job->runs) dispose(job);
  return 0;
}

/* perilune.is_retired() -0 +1 */
static int is_retired(lua_State *L) {
  lua_pushboolean(L, vm_of(L)->background.state >= BACKGROUND_RETIRED);
  return 1;
}

/* The options of after and every, at `index`. False: not on every worker. -0 +0 */
static bool read_options(lua_State *L, int index, const char *call, bool *immediately) {
  bool everywhere = false;
  if (lua_isnoneornil(L, index)) return false;
  luaL_checktype(L, index, LUA_TTABLE);
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
    if (immediately && strcmp(name, "immediately") == 0 && lua_isboolean(L, -1)) {
      *immediately = lua_toboolean(L, -1);
    } else if (strcmp(name, "on") == 0 && lua_type(L, -1) == LUA_TSTRING) {
      everywhere = strcmp(lua_tostring(L, -1), "every worker") == 0;
      if (!everywhere && strcmp(lua_tostring(L, -1), "control") != 0)
        luaL_error(L, "%s: option 'on' is \"control\" or \"every worker\"", call);
    } else {
      luaL_error(L, "%s: unknown or unfit option '%s'; valid are on%s", call, name,
                 immediately ? ", immediately (true or false)" : "");
    }
  }
  return everywhere;
}

/* perilune.sleep(seconds) -1 +0 */
static int sleep_for(lua_State *L) { return task_sleep(L, check_ms(L, 1, "perilune.sleep")); }

/* perilune.spawn(fn, ...) -n +1 */
static int spawn(lua_State *L) {
  const struct vm *vm = vm_of(L);
  handle_check_dot(L, "perilune.spawn");
  if (vm->running && !vm->loading) return spawn_task(L);
  if (lua_gettop(L) > 1) return luaL_error(L, "perilune.spawn takes no arguments for its function here");
  return add(L, 1, (struct job){.call = "perilune.spawn"}, false);
}

/* perilune.after(seconds, fn [, { on = "every worker" }]) -3 +1 */
static int after(lua_State *L) {
  struct job wanted = {.call = "perilune.after", .delay_ms = check_ms(L, 1, "perilune.after")};
  bool everywhere = read_options(L, 3, wanted.call, NULL);
  return add(L, 2, wanted, everywhere);
}

/* perilune.every(seconds, fn [, { immediately = true, on = "every worker" }]) -3 +1 */
static int every(lua_State *L) {
  struct job wanted = {.call = "perilune.every", .every_ms = check_ms(L, 1, "perilune.every")};
  bool immediately = false, everywhere = read_options(L, 3, wanted.call, &immediately);
  if (wanted.every_ms == 0)
    return luaL_error(L, "perilune.every: the interval must be a millisecond or more");
  wanted.delay_ms = immediately ? 0 : wanted.every_ms;
  return add(L, 2, wanted, everywhere);
}

/* perilune.on_retire(fn [, { on = "every worker" }]) -2 +1 */
static int on_retire(lua_State *L) {
  struct job wanted = {.call = "perilune.on_retire", .at_end = true};
  bool everywhere = read_options(L, 2, wanted.call, NULL);
  return add(L, 1, wanted, everywhere);
}

static const luaL_Reg methods[] = {{"stop", stop}, {NULL, NULL}};
static const luaL_Reg functions[] = {
    {"sleep", sleep_for},       {"spawn", spawn},         {"after", after}, {"every", every},
    {"is_retired", is_retired}, {"on_retire", on_retire}, {NULL, NULL}};

void open_timer(lua_State *L) {
  handle_define(L, HANDLE_JOB, "perilune.job", methods, NULL);
  luaL_register(L, NULL, functions);
  lua_getglobal(L, "debug");
  lua_getfield(L, -1, "getinfo");
  vm_of(L)->function_info = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pop(L, 1);
}
