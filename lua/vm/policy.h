// SPDX-License-Identifier: Apache-2.0
// policy: a script on one worker: its vm and its listeners. For the runtime it is lua_policy.
#ifndef PERILUNE_LUA_POLICY_H
#define PERILUNE_LUA_POLICY_H

#include "base/arena.h"
#include "runtime/policy.h"

struct tracing;
struct vm;

/* `source` is the script's path, a const char *. */
extern const struct policy_kind lua_policy;

/* `source` is a struct policy_text: a script that is no file. */
struct policy_text {
  const char *name; /* for messages */
  const char *text;
};
extern const struct policy_kind lua_text_policy;

struct policy {
  struct vm *vm;                     /* owned */
  const char *script;                /* borrowed: its path, or the name of its text */
  const char *text;                  /* borrowed; NULL: the script is a file */
  struct arena arena;                /* listeners, hooks and their text */
  struct policy_listener *listeners; /* owned, in order of the script */
  unsigned count, cap;
  const struct tracing *tracing; /* arena; of perilune.tracing; NULL: it was not called */
};

/* A zeroed listener at the end of the list; valid until the next one is added. */
struct policy_listener *policy_add_listener(struct policy *policy);

#endif
