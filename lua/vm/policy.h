// SPDX-License-Identifier: Apache-2.0
// policy: a script on one worker: its vm and what it listens on. The runtime knows it as lua_policy.
#ifndef PERILUNE_LUA_POLICY_H
#define PERILUNE_LUA_POLICY_H

#include "base/arena.h"
#include "runtime/policy.h"

struct vm;

/* `source` is the script's path, a const char *. */
extern const struct policy_kind lua_policy;

struct policy {
  struct vm *vm;                     /* owned */
  const char *script;                /* borrowed: its path */
  struct arena arena;                /* listeners, hooks and their text */
  struct policy_listener *listeners; /* owned, in order of the script */
  unsigned count, cap;
};

/* A zeroed listener at the end of the list; valid until the next one is added. */
struct policy_listener *policy_add_listener(struct policy *policy);

#endif
