// SPDX-License-Identifier: Apache-2.0
// script: Lua's data of an exchange, and of the hooks of a listener.
#ifndef PERILUNE_LUA_SCRIPT_H
#define PERILUNE_LUA_SCRIPT_H

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#include "exchange/hooks.h"

struct chosen;
struct exchange;
struct lua_connection;
struct task;
struct task_group;
struct vm;

/* The hooks of one perilune.listen. */
struct lua_hooks {
  struct hooks hooks; /* first: exchanges point to it */
  struct vm *vm;      /* borrowed */
  struct lua_hook {
    int function;            /* registry */
    unsigned char arguments; /* how many of those it can have it has names for */
    bool has_ctx;            /* one of them is the table of the exchange */
    bool needs_look;         /* another one may need memory to be made */
    const char *place;       /* arena of the policy: "policy.lua:12" */
  } each[HOOK_COUNT];
};

/* Those of ours, of an exchange or a listener. */
static inline const struct lua_hooks *script_hooks(const struct hooks *hooks) {
  return (const struct lua_hooks *)hooks;
}

/* Something to be undone when an exchange ends, whichever end that is; in its arena. */
struct at_end {
  struct at_end *next;
  void (*run)(struct at_end *at_end); /* may not enter Lua */
};

/* What Lua has of an exchange; in the exchange's arena. */
struct script {
  struct exchange *x;                /* borrowed */
  struct vm *vm;                     /* borrowed */
  struct task *task;                 /* owned: the hook that waits or runs */
  struct task *writer;               /* owned: a hook that has ended for the walk, and writes the answer */
  struct task *reader;               /* borrowed: that waits for the request's body */
  int ctx;                           /* registry: its table; 0: none yet */
  uint64_t token;                    /* its first token, which leads to its seat */
  bool is_seated;                    /* else there are too many exchanges */
  size_t lent_bytes;                 /* what the hooks have put into its arena */
  struct task_group *task_group;     /* arena: its spawned tasks; NULL: none */
  struct at_end *at_end;             /* newest first */
  struct lua_connection *connection; /* held; NULL: nobody has asked for its table */
  struct headers *trailers;          /* borrowed: of the response, once they are there */
  struct chosen *chosen;             /* backends, newest first; lua/api/choose.c */
  struct headers *promised;          /* arena: for whichever final response is sent; NULL: none */
  struct headers *given_fields;      /* arena: of the head that answer_filter was given, for where it fails */
};

static inline void script_at_end(struct script *script, struct at_end *at_end,
                                 void (*run)(struct at_end *at_end)) {
  *at_end = (struct at_end){script->at_end, run};
  script->at_end = at_end;
}

/* For what a hook puts into the arena of its exchange: raises where all exchanges hold as much as the vm may
 * hold itself. A loop would take the machine's memory otherwise, which Lua's allocator does not see. -0 +0 */
void script_lend(lua_State *L, struct script *script, size_t bytes);

/* Where the hook of the task is defined: "policy.lua:12 (upstream_peer)". Valid until the next call. */
const char *script_place(const struct task *task);

#endif
