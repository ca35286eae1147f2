// SPDX-License-Identifier: Apache-2.0
// task: a Lua coroutine that the core runs, for an exchange or in the background. It runs until it ends,
// fails or waits for an event of the loop (a time, a connection), which wakes it.
//
// A C function of the API that has to wait ends with `return task_wait(L, cancel, what)`. Once `what` has
// happened, its callback calls task_wake from the loop, and the Lua code continues after the call. The result
// is fetched by a second C function: so everything that can fail runs in protected mode (see
// lua/perilune/tcp.lua).
#ifndef PERILUNE_LUA_TASK_H
#define PERILUNE_LUA_TASK_H

#include <lua.h>

#include "base/error.h"
#include "base/list.h"
#include "lua/vm/parts.h"
#include "net/timer.h"
#include "shared/choose.h"

struct script;
struct vm;

enum task_status {
  TASK_DONE,   /* returned; its results are on task->co */
  TASK_WAITS,  /* on_end follows, unless it is freed before */
  TASK_FAILED, /* raised; task_error says what */
  TASK_REFUSED /* was not called, of hook_call_run */
};

struct task;
typedef void task_end_fn(struct task *task, enum task_status status);

struct task {
  struct vm *vm;         /* borrowed */
  lua_State *co;         /* anchored by `ref` */
  struct list link;      /* in vm->tasks or vm->spare_tasks; in none from task_take until it waits */
  struct script *script; /* borrowed: of the exchange for which it runs; NULL: in the background */
  const char *place;     /* borrowed: of what it runs, for messages; NULL: unknown */
  void *owner;           /* borrowed */
  task_end_fn *on_end;
  void (*cancel)(void *what); /* set while it waits */
  unsigned char hook;         /* enum hook: the one it runs, if it has a script; or TASK_NO_HOOK */
  bool failed;                /* its coroutine must not run again */
  bool starved;               /* failed for want of memory */
  bool strayed;               /* failed because it yielded to nobody */
  bool overran;               /* failed because it used up its time */
  unsigned span;              /* number of the span that its calls are below (lua/api/trace.c) */
  enum error refusal;         /* why select() has found no backend, last */
  char refused[CHOICE_BYTES]; /* where there is a refusal: which set, and why, for the log */
  /* Of tasks that wait. */
  int ref;                /* of `co` in Lua's registry */
  int arguments;          /* of task_start_soon */
  void *what;             /* borrowed: what it waits for */
  struct list awaited;    /* borrowed: struct spawned that will wake it (lua/api/spawn.c) */
  struct timer timer;     /* of perilune.sleep and of task_wake_soon */
  struct wait_note *note; /* owned; while it waits and somebody looks (lua/vm/profiler.h); else NULL */
};

/* NULL: no memory in this vm. The owner frees it, at the latest in on_end, which is called from the loop and
 * only for tasks that waited. */
struct task *task_new(struct vm *vm, void *owner, task_end_fn *on_end);
/* The same, where task_start follows at once; the caller fills in owner, on_end, script, hook, place and refusal. */
struct task *task_take(struct vm *vm);
/* Runs the function on top of task->co, called with the `arguments` values above it. */
enum task_status task_start(struct task *task, int arguments);
/* The same from the loop; on_end follows. */
void task_start_soon(struct task *task, int arguments);
/* Ends it if it waits. Its coroutine is kept for the next task where that is possible. */
void task_free(struct task *task);
/* All tasks of a vm, also the spare ones. */
void tasks_free(struct vm *vm);
/* They were made while the policy loaded, and the vm has a loop by now. */
void tasks_bind(struct vm *vm);

/* Collects all garbage at once. Not while Lua runs. */
void task_collect(struct vm *vm);

/* For C functions that are about to wait: the task to park. Raises where nothing can wait, naming `call`. */
struct task *task_to_park(lua_State *L, const char *call);
/* For C functions: parks the running task. `cancel`, which may be NULL, is called if it is ended before it is
 * woken. -0 +0 (yields) */
int task_wait(lua_State *L, void (*cancel)(void *what), void *what);
/* For what comes behind a wait: a coroutine that waits can be resumed by somebody else, before its time. */
int task_not_done(lua_State *L, const char *call);
/* Goes on with a waiting task; from the loop only. The task may be gone afterwards. */
void task_wake(struct task *task);
/* The same from the next turn of the loop, for callbacks that may not free their caller. */
void task_wake_soon(struct task *task);
/* Parks the running task for a time. -0 +0 (yields) */
int task_sleep(lua_State *L, uint64_t ms);

/* The wait of a hook has ended: people may look on at its exchange (exchange/live_trace.h). */
void task_note_wait_end(struct task *task);
/* For task_wait.c: what the task waits for; and the end of a wait that will not come to its end. */
void task_set_wait(struct task *task, void (*cancel)(void *what), void *what);
void task_cancel_wait(struct task *task);

struct task_error {
  char *text;            /* owned, malloc'd: message and traceback */
  unsigned short status; /* of an error table {status = N}, else 0 */
};
/* What a failed task raised. */
struct task_error task_error(struct task *task, bool with_traceback);
/* Does the text begin with a place, "policy.lua:12: "? */
bool task_error_has_place(const char *text);
/* Where the policy was when it failed, "policy.lua:12": the innermost line of its own. False: nowhere in it. */
bool task_error_place(struct task *task, char *room, size_t bytes);
/* Logs it: "<doing> failed: <message and traceback>". */
void task_log_error(struct task *task, const char *doing);

/* Runs `function` in protected mode on the main state with `argument` as light userdata. NULL or a malloc'd
 * message. */
char *task_protect(struct vm *vm, lua_CFunction function, void *argument);
/* Closes the Lua state, for good. Finalizers of the policy that do not end within its hook_time are left where they
 * are; the memory is the allocator's to free. */
void task_close(struct vm *vm);

#endif
