// SPDX-License-Identifier: Apache-2.0
// profile: what one policy, in one worker, has told of where its time goes, for a while. The runtime begins and
// ends it (runtime/observe/profiling.h); the kind of policy fills it in (lua/vm/profiler.h). It belongs to one thread
// at a time.
#ifndef PERILUNE_SHARED_PROFILE_H
#define PERILUNE_SHARED_PROFILE_H

#include <stdbool.h>

#include "shared/stacks.h"

enum profile_of {
  PROFILE_CPU, /* of the processor, by samples */
  PROFILE_WAIT /* while hooks wait, as they begin to */
};

struct profile {
  enum profile_of of;
  struct stacks stacks;
  uint64_t outside_us;                  /* PROFILE_CPU: of the thread, while no code of the policy ran */
  const char *why;                      /* static: why nothing could be told; NULL: it was */
  void *script;                         /* of who fills it in; NULL: nobody does, or not any more */
  void (*end)(struct profile *profile); /* by who fills it in: it is not to be used any more */
};

#endif
