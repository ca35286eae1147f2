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
/* Another policy is in force, or the worker ends. A run that is under way, or due, goes on to its end; `every`
 * begins none any more; what `after` has planned for later is called at once with true, if it takes a parameter,
 * or dropped. */
void jobs_retire(struct vm *vm);
/* Ends them all, and the tasks that they have spawned, wherever they wait. */
void jobs_cut(struct vm *vm);
/* Ends them all; the vm is freed. */
void jobs_free(struct vm *vm);

#endif
