// SPDX-License-Identifier: Apache-2.0
// hook_call: one call of a policy's hook: its task and its arguments.
#ifndef PERILUNE_LUA_HOOK_CALL_H
#define PERILUNE_LUA_HOOK_CALL_H

#include "lua/vm/task.h"
#include "exchange/hooks.h"

struct script;

/* How many arguments the hook can have, and whether the one at `index` is the table of the exchange, or another one
 * that may need memory to be made. */
int hook_call_arguments(enum hook hook);
bool hook_call_is_ctx(enum hook hook, int index);
bool hook_call_needs_look(enum hook hook, int index);

/* A task for a hook. NULL: no memory, which is logged. */
struct task *hook_call_new(struct script *script, enum hook hook, void *owner, task_end_fn *on_end);
/* Calls task->hook with its arguments. Where it could not be called, that is logged. */
enum task_status hook_call_run(struct task *task);
#endif
