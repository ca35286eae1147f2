// SPDX-License-Identifier: Apache-2.0
// chores: work that nobody waits for, one piece after another in a thread of lower priority, which begins with the
// first of them. What is asked for twice is done once; there is a bound on what waits; what has failed is not tried
// again for a while. Thread-safe.
#ifndef PERILUNE_SHARED_CHORES_H
#define PERILUNE_SHARED_CHORES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct chores;

/* First member of whatever it works on. */
struct chore {
  struct chore *next;
  uint64_t id; /* of what it does */
  /* In the thread; ends soon once `stops`. False: it has failed. */
  bool (*run)(struct chore *chore, const atomic_bool *stops);
  void (*end)(struct chore *chore); /* frees it; in any thread */
};

enum { CHORES_WAITING = 64 };

struct chores *chores_new(const char *name);
/* The one under way ends early, the others are not done. NULL is harmless. */
void chores_free(struct chores *c);
/* Would chores_add take one of that id? Cheap, and may be wrong in either direction. */
bool chores_may_add(struct chores *c, uint64_t id);
/* Takes it over. False: `end` was called, since it waits already, has failed of late, or too many wait. */
bool chores_add(struct chores *c, struct chore *chore);

#endif
