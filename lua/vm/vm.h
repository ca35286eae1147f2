// SPDX-License-Identifier: Apache-2.0
// vm: one Lua state of one policy on one worker, with its memory counted and capped, and the places where
// `require` looks. Lua is run in it only through lua/vm/task.h.
//
// Words. vm: a Lua state and what belongs to it. task: a coroutine that the core runs. handle: a userdata of
// ours, for a set of backends, a socket, a failure. token: the number that a policy has for an exchange or a
// message. Both may outlive what they stand for, and then raise an error.
//
// To add a noun to the policy's API: a file lua/api/<noun>.c that ends with its luaL_Reg table and
// `void open_<noun>(lua_State *L)`, its line in the table of lua/vm/nouns.h, its types in
// lua/perilune/types.lua.
#ifndef PERILUNE_LUA_VM_H
#define PERILUNE_LUA_VM_H

#include <lua.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/str.h"
#include "lua/vm/allocator.h"
#include "lua/vm/parts.h"
#include "runtime/policy.h"

struct debugger;
struct policy;
struct task;

enum { VM_MEMORY_CAP_MIB = 256, VM_RESERVE_BYTES = 1 << 20 };

struct vm {
  struct allocator memory; /* first: what the state's allocator is given leads to its vm */
  /* What each call of a hook looks at. */
  lua_State *L; /* owned */
  struct memory_use use;
  struct task *running;   /* borrowed: the one whose coroutine runs now */
  struct task *last_task; /* owned: freed last, to run again; may be NULL */
  unsigned depth;         /* how many calls of Lua are on the C stack */
  unsigned task_count;    /* so far, wraps */
  struct seats seats;     /* of the exchanges under way */
  struct watch watch;     /* by the watchdog */
  struct landing landing;
  /* The rest. */
  struct policy_host host; /* its pointers are borrowed */
  struct policy *policy;   /* borrowed: the policy that owns this vm */
  struct str directory;    /* owned: the script's, "" for the current one, else with its slash */
  struct str library;      /* owned: the directory that has our lua/ and scripts/ in it */
  char *name_servers;      /* owned: of perilune.dns.set_servers; NULL: the system's */
  struct list tasks;       /* owned: struct task, that wait or were made to */
  struct list spare_tasks; /* owned: struct task with a coroutine to run again */
  unsigned spare_count;
  unsigned spawned_count;    /* of perilune.spawn, that run */
  struct list spare_sockets; /* owned: struct socket (lua/api/socket_pool.c) */
  struct list socket_pools;  /* of struct socket_pool, which their sockets own (lua/api/socket_pool.c) */
  struct list spawned;       /* borrowed: struct spawned of the background (lua/api/spawn.c) */
  struct list connections;   /* of struct lua_connection (lua/api/connection.c) */
  struct list jobs;          /* owned: struct job, background work (lua/api/timer.c) */
  struct list password_jobs; /* of struct check_job, which the pool owns (lua/api/password.c) */
  struct handle_kinds kinds;
  struct ctx_supply ctx_supply;
  int token_methods;            /* registry */
  struct buf scratch;           /* for texts on their way to Lua: raising loses none */
  void *regex_room;             /* borrowed from Lua: see lua/api/regex.c */
  struct background background; /* what is under way of it (lua/vm/background.c) */
  int function_info;            /* registry: debug.getinfo, as it was given to the policy */
  unsigned workers_told;        /* how many workers the script was told there are; 0: it has not asked */
  bool started;                 /* the policy is in force, or was */
  bool loading;                 /* the script's main chunk runs */
  bool closing;                 /* nothing is made any more, by finalizers for instance */
  bool jit_off;                 /* the policy does not want the JIT compiler */
  bool jit_runs;                /* now */
  struct lost_state lost;
  struct profiled *profiled;       /* owned; NULL: nobody looks (lua/vm/profiler.h) */
  struct debugger *debugger;       /* owned; NULL: nobody debugs it (lua/vm/debugger.h) */
  void (*set_hook)(struct vm *vm); /* Lua's hook when the watchdog has not set it: none, or the debugger's */
  struct list evaluations;         /* owned: of people, under way (lua/vm/evaluation.c) */
};

/* The vm a C function is called in. */
static inline struct vm *vm_of(lua_State *L) {
  void *vm;
  lua_getallocf(L, &vm);
  return vm;
}

/* The vm's scratch buffer, emptied. It belongs to the vm, so that raising loses nothing. */
static inline struct buf *vm_scratch(lua_State *L) {
  struct buf *scratch = &vm_of(L)->scratch;
  buf_clear(scratch);
  return scratch;
}

/* How many workers there are, as the script is told. */
static inline unsigned vm_workers(struct vm *vm) { return vm->workers_told = vm->host.workers; }

#endif
