// SPDX-License-Identifier: Apache-2.0
// parts: structs that struct vm contains for other files. Only the file that a part is named after uses its members.
// They are declared here, so that vm.h needs none of those files, and each of them can use vm.h.
#ifndef PERILUNE_LUA_PARTS_H
#define PERILUNE_LUA_PARTS_H

#include <setjmp.h>
#include <lua.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

enum { TASK_NO_HOOK = 255 }; /* task.h: what runs is no hook */

/* handle.h: the kinds of userdata. */
enum handle_kind {
  HANDLE_FAILURE,
  HANDLE_PEER,
  HANDLE_BACKENDS,
  HANDLE_RATE,
  HANDLE_COUNTS,
  HANDLE_DICT,
  HANDLE_CACHE,
  HANDLE_KEY_LIST,
  HANDLE_INFLIGHT,
  HANDLE_COUNTER,
  HANDLE_METRIC,
  HANDLE_SOCKET,
  HANDLE_UDP,
  HANDLE_SEMAPHORE,
  HANDLE_SPAWNED,
  HANDLE_JOB,
  HANDLE_TEST_BENCH,
  HANDLE_CIDR,
  HANDLE_REGEX,
  HANDLE_REGEX_ROOM,
  HANDLE_LOOKUP,
  HANDLE_TABLE,
  HANDLE_FILES,
  HANDLE_LIMITER,
  HANDLE_QUOTA,
  HANDLE_DISCOVERY,
  HANDLE_REDIS,
  HANDLE_TRACING,
  HANDLE_H2_CLIENT,
  HANDLE_CRYPTO_KEY,
  HANDLE_LIVE,
  HANDLE_FILE_LOCK,
  HANDLE_PASSWORD_CHECK,
  HANDLE_KINDS
};
/* handle.h: gives back what a handle holds, once. It may run while the VM closes, or when its Lua state is given up: so
 * it uses what the handle has, and no Lua. */
typedef void handle_end_fn(void *handle);

/* handle.h: what a VM keeps of the kinds. */
struct handle_kinds {
  int metatables[HANDLE_KINDS];      /* registry */
  handle_end_fn *ends[HANDLE_KINDS]; /* NULL: the kind holds nothing */
  struct list handles;               /* struct handle, of kinds that have an end */
  unsigned made[HANDLE_KINDS];       /* shared objects without a name of their own, so far */
};

/* token.h: the exchanges under way. Begins zeroed. */
struct seats {
  struct seat *all; /* owned */
  unsigned count, room;
  unsigned free; /* 0: none, else the place of the first + 1 */
};

/* ctx.h: places in Lua's registry for the tables of exchanges: `fresh` ones with an empty table, then used ones. Begins
 * zeroed. */
struct ctx_supply {
  int *places; /* owned */
  unsigned fresh, count, room;
};

/* background.h: the policy's work that belongs to no request. */
enum background_state {
  BACKGROUND_WAITS, /* the policy is not in force yet */
  BACKGROUND_RUNS,
  BACKGROUND_RETIRED, /* what is under way goes on, nothing new is planned */
  BACKGROUND_CUT      /* nothing runs any more */
};

struct background {
  enum background_state state;
  unsigned jobs; /* of after, every and spawn in the main chunk: planned or under way */
  unsigned under_way;
  unsigned dropped; /* functions that were due later, since the last report */
};

/* lost.h: why a Lua state was given up. */
enum lost { LOST_NOT, LOST_MEMORY, LOST_TIME };

struct lost_state {
  enum lost why;    /* LOST_NOT: it was not; else nothing is run in it */
  bool is_replaced; /* an empty state is in its place */
  char text[512];   /* why, as a sentence */
};

/* Each call of Lua sets a landing. The compiler's own way notes where the stack and the code are, and nothing else;
 * elsewhere than on x86-64 it is little tested. A sanitizer has to know of the jump, and knows longjmp only. */
#if defined __x86_64__ && !defined INVARIANTS
typedef void *landing_place[5];
#define LANDING_SET(place) __builtin_setjmp(place)
#define LANDING_GO(place)  __builtin_longjmp(place, 1)
#else
typedef jmp_buf landing_place;
#define LANDING_SET(place) _setjmp(place)
#define LANDING_GO(place)  longjmp(place, 1)
#endif

/* lost.h: where the outermost call of Lua is left from. */
struct landing {
  landing_place place;
  bool is_set;
};

/* whereabouts.h */
struct whereabouts {
  atomic_uint wanted; /* the turn whose line is to be looked up; by the watchdog */
  unsigned tries;     /* how often it was wanted; the watchdog alone */
  atomic_uint known;  /* the turn that what follows is of */
  atomic_int line;
  _Atomic(uint64_t) source[16]; /* the end of the file's path, in bytes */
};

/* watchdog.h */
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
  struct whereabouts whereabouts;
  atomic_uintptr_t code_from, code_to;
  /* The vm's thread alone. */
  lua_State *co;          /* the task's that runs; NULL: it is no task */
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
  uint64_t used_ms;          /* CPU time of the turn, when it looked last, and */
  bool is_blocked;           /* was that the time before it, too? */
  uint64_t condemned_ms;     /* how long that was when it was first told to stop, */
  uint64_t condemned_cpu_ms; /* its CPU time by then, and */
  uint64_t reported_ms;      /* when it was reported; 0: not yet */
};

#endif
