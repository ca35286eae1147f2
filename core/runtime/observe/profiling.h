// SPDX-License-Identifier: Apache-2.0
// profiling: `perilune profile`: how the time of the policy in force divides over its lines, over all workers.
//
// Only one VM can be sampled at a time (lua/vm/profiler.h), so the workers take turns, each for a slot of at most a
// second; what each has told is scaled by the share of the time for which it was asked. Waits are seen in all workers
// at once. At each slot a worker begins anew, on the policy that is in force then: so a reload does not end a profile.
#ifndef PERILUNE_RUNTIME_PROFILING_H
#define PERILUNE_RUNTIME_PROFILING_H

#include "runtime/command.h"

struct profiling;
struct worker;

/* "cpu FOR_MS" or "wait FOR_MS". What is sent for the client's file are lines "# name value", and then stacks
 * (shared/stacks.h); the answer says what is missing. One at a time; it ends with its client. */
void profiling_obey(struct command_client *client, const char *line);
/* Before the worker runs: what it answers comes here. */
void profiling_heed(struct worker *worker);

#endif
