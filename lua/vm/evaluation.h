// SPDX-License-Identifier: Apache-2.0
// evaluation: Lua text that a person runs in a VM: of `perilune repl`, and of the debugger in a stopped frame. It runs
// as a task of its own, so hook_time and memory_limit hold for it, and it may wait; but not for long.
#ifndef PERILUNE_LUA_EVALUATION_H
#define PERILUNE_LUA_EVALUATION_H

#include <lua.h>
#include <stdbool.h>

#include "runtime/policy.h"

struct script;
struct task;
struct vm;

struct evaluation_order {
  const char *text;                        /* borrowed, for the call */
  void (*push)(lua_State *L, void *owner); /* what it is given behind the text; in protected mode. -0 +n */
  struct script *script;                   /* borrowed: of the exchange that it belongs to; may be NULL */
  void *owner;                             /* borrowed */
  void (*on_end)(void *owner, bool fine, char *text, const char *action);
};

/* Calls text, action = require(module)[name](text, ...). on_end is called once, at once or from the loop: `text`, which
 * passes over, is what it says or the error; `action` is valid for the call, and may be NULL. */
void evaluation_begin(struct vm *vm, const char *module, const char *name,
                      const struct evaluation_order *order);
/* The text of `perilune repl`; `push` gives the policy's hooks. */
void evaluation_of_text(struct vm *vm, const char *text, void (*push)(lua_State *L, void *unused),
                        policy_evaluated *on_end, void *owner);
/* Ends those of that owner: on_end is not called. */
void evaluation_drop(struct vm *vm, const void *owner);
/* The VM ends, and so do all. */
void evaluations_free(struct vm *vm);
/* Is it the task of one? The debugger does not stop in it. */
bool evaluation_is(const struct task *task);

#endif
