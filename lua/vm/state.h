// SPDX-License-Identifier: Apache-2.0
// state: the life of a Lua state and its struct vm, from its creation with all libraries to its end.
#ifndef PERILUNE_LUA_STATE_H
#define PERILUNE_LUA_STATE_H

#include "runtime/policy.h"

struct policy;
struct vm;

/* NULL: *why is malloc'd. The script is not read yet; its path only says where `require` looks. */
struct vm *state_new(const struct policy_host *host, struct policy *policy, const char *script_path,
                     char **why);
/* All tasks are ended, waiting ones included. */
void state_free(struct vm *vm);

#endif
