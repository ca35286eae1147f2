// SPDX-License-Identifier: Apache-2.0
// backends_report: the backends of all sets that the policy in force names, as status and metrics show them.
#ifndef PERILUNE_RUNTIME_BACKENDS_REPORT_H
#define PERILUNE_RUNTIME_BACKENDS_REPORT_H

#include <stdbool.h>

#include "base/str.h"

struct json;
struct registry;

struct backend_report {
  struct str set, address; /* borrowed for the call */
  bool healthy, enabled, ejected;
  unsigned off; /* of enum backend_off: who has taken it out */
  unsigned weight, tier, in_flight;
  unsigned given_weight; /* the policy's */
  unsigned latency_us;   /* an average that favours peaks; 0: nothing is known */
};

/* Could it be chosen? */
static inline bool backend_report_is_up(const struct backend_report *entry) {
  return entry->healthy && entry->enabled && !entry->ejected;
}

/* "healthy", "drained", ...: in a word. */
const char *backend_report_state(const struct backend_report *entry);

/* As an object of an array. */
void backend_report_put_json(const struct backend_report *entry, struct json *j);

/* Calls `each` for every backend, set by set. Thread-safe. */
void backends_report_read(struct registry *registry,
                          void (*each)(const struct backend_report *entry, void *context), void *context);

#endif
