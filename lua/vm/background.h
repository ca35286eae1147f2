// SPDX-License-Identifier: Apache-2.0
// background: counts the runs of a policy's own work that are under way (jobs of lua/api/timer.c, tasks
// that they spawn):
// they keep their policy, and their worker, as exchanges do, until they end or are cut.
#ifndef PERILUNE_LUA_BACKGROUND_H
#define PERILUNE_LUA_BACKGROUND_H

#include <stdbool.h>

struct vm;

enum background_state {
  BACKGROUND_WAITS, /* the policy is not in force yet */
  BACKGROUND_RUNS,
  BACKGROUND_RETIRED, /* what is under way goes on, nothing new is planned */
  BACKGROUND_CUT      /* nothing runs any more */
};

struct background {
  enum background_state state;
  unsigned jobs; /* of after, every and spawn in the main chunk: planned or under way */
  unsigned under_way;
  unsigned dropped; /* functions that were due later, since the last report */
};

/* One more run; background_end follows. */
void background_begin(struct vm *vm);
/* The policy may be unused by that, and is freed from the loop. */
void background_end(struct vm *vm);
/* Logs, in one line, how many functions were dropped. */
void background_report(struct vm *vm);

#endif
