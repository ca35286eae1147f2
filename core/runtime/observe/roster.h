// SPDX-License-Identifier: Apache-2.0
// roster: the backends of all sets that the policy in force names, as status and metrics show them.
#ifndef PERILUNE_RUNTIME_ROSTER_H
#define PERILUNE_RUNTIME_ROSTER_H

#include <stdbool.h>

#include "base/str.h"

struct registry;

struct roster_entry {
  struct str set, address; /* borrowed for the call */
  bool healthy, enabled, ejected;
  unsigned weight, tier, in_flight;
  unsigned latency_us; /* an average that favours peaks; 0: nothing is known */
};

/* Could it be chosen? */
static inline bool roster_is_up(const struct roster_entry *entry) {
  return entry->healthy && entry->enabled && !entry->ejected;
}

/* Calls `each` for every backend, set by set. Thread-safe. */
void roster_read(struct registry *registry, void (*each)(const struct roster_entry *entry, void *context),
                 void *context);

#endif
