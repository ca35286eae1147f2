// SPDX-License-Identifier: Apache-2.0
// hook_failure: what a hook has done wrong, for the log: where in the policy, what, and in which request. One line is
// enough to correct it: "request_filter failed: policy.lua:12: session:respond: status is missing (GET /a of
// client 127.0.0.1:50000, request id 7f3a)", followed by Lua's traceback.
#ifndef PERILUNE_LUA_HOOK_FAILURE_H
#define PERILUNE_LUA_HOOK_FAILURE_H

#include <stdbool.h>

struct hook_outcome;
struct lua_hook;
struct task;

/* Logs what the task of the hook has raised, and says in `outcome` what that means for the exchange. */
void hook_failure_take(struct task *task, const struct lua_hook *hook, struct hook_outcome *outcome);
/* Logs what is wrong with the results of a hook, which has not raised. */
void hook_failure_tell(const struct task *task, const char *format, ...)
    __attribute__((cold, format(printf, 2, 3)));

/* Has the hook ended itself by core.leave, from however deep? Then that is no failure: it has returned nothing. */
bool hook_has_left(const struct task *task);

#endif
