// SPDX-License-Identifier: Apache-2.0
// watchdog: Lua code that runs too long without a pause is interrupted; what cannot be interrupted is
// reported.
//
// One thread for the process looks a few times a second at what all VMs do. A VM only counts when it enters
// and leaves Lua, so being watched costs two stores a call.
#ifndef PERILUNE_LUA_WATCHDOG_H
#define PERILUNE_LUA_WATCHDOG_H

#include <lua.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct task;
struct vm;

struct watch {
  /* Written by the vm's thread, read by the watchdog. */
  atomic_uint turns;           /* odd while Lua runs */
  atomic_int thread;           /* its id, while Lua runs */
  atomic_uint budget_ms;       /* 0: for ever */
  _Atomic(const char *) place; /* of what runs: "policy.lua:12" */
  atomic_int hook;             /* enum hook, TASK_NO_HOOK for other work */
  atomic_uintptr_t pc;         /* where the signal found it */
  /* Written by the watchdog, read by the signal's handler: the turn that is over its budget, that one once it could
   * not be interrupted, and the machine code that it is in. */
  atomic_uint condemned, doomed;
  atomic_uintptr_t code_from, code_to;
  /* The vm's thread alone. */
  volatile bool is_armed; /* Lua's hook is set */
  bool overran;           /* the turn was interrupted */
  unsigned hook_ms;       /* the budget once the policy is loaded */
  atomic_bool loads;      /* the main chunk has not come to its end */
  struct list link;       /* of all that are watched, under the watchdog's lock */
  /* The watchdog alone. */
  unsigned seen;             /* the turn that it looks at, since when, and */
  uint64_t since_ms, cpu_ms; /* the thread's CPU time by then */
  uint64_t looked_ms;        /* when it looked last, and how long that turn has run by its looks */
  uint64_t waited_ms;
  uint64_t condemned_ms;     /* how long that was when it was first told to stop, */
  uint64_t condemned_cpu_ms; /* its CPU time by then, and */
  uint64_t reported_ms;      /* when it was reported; 0: not yet */
};

/* While the policy loads it has a longer budget; then, from watch_loaded on, that of a hook. */
void watch_begin(struct vm *vm);
void watch_loaded(struct vm *vm);
/* The budget from now on, also of what runs already. */
void watch_budget(struct vm *vm, unsigned ms);
void watch_end(struct vm *vm);
/* "stuck in request_filter of policy.lua:12 for 7 s", if that worker's Lua runs beyond its budget; else "".
 * Any thread. */
void watch_doing(unsigned worker, char *text, size_t bytes);
/* The process stops: main chunks that run are interrupted, now and from now on. Thread-safe. */
void watch_hurry_loads(void);

/* Around each call of Lua; they nest. `task` may be NULL. */
void watch_enter(struct vm *vm, const struct task *task);
void watch_leave(struct vm *vm);
/* Lua's hook is set, to raise at the next instruction that is interpreted. Safe wherever Lua runs. */
void watch_arm(struct vm *vm);
/* Was the turn told to stop, and did not? It is to be given up. */
bool watch_is_doomed(const struct vm *vm);
/* For C code that may take long: raises where Lua code would be interrupted. */
void watch_check(struct vm *vm, lua_State *L);

#endif
