// SPDX-License-Identifier: Apache-2.0
// timer: background work of a policy: jobs, each a Lua function that runs as a task once, later, or again and
// again.
#ifndef PERILUNE_LUA_TIMER_H
#define PERILUNE_LUA_TIMER_H

struct vm;

/* They were made while the policy loaded, and the vm has a loop by now. */
void jobs_bind(struct vm *vm);
/* Lets the jobs begin that the script asked for while it was loaded: in the control worker, for others have
 * none. */
void jobs_start(struct vm *vm);
/* Ends them all. */
void jobs_free(struct vm *vm);

#endif
