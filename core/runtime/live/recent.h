// SPDX-License-Identifier: Apache-2.0
// live/recent: a small ring of records (shared/live_record.h) of failures, and of each hook the slowest call.
#ifndef PERILUNE_RUNTIME_LIVE_RECENT_H
#define PERILUNE_RUNTIME_LIVE_RECENT_H

#include <stdbool.h>

#include "runtime/live/tracers.h"

struct recent {
  struct str failures[RECENT_FAILURES]; /* owned */
  unsigned failure_count;               /* ever */
  struct str hooks[RECENT_HOOKS];       /* owned: one of each hook */
  unsigned hook_count;
};

/* Copies. `items` are the record's. */
void recent_keep(struct recent *recent, struct str record, struct str items);
void recent_free(struct recent *recent);
bool recent_failure(const struct recent *recent, unsigned age, struct str *record);
bool recent_slow_hook(const struct recent *recent, unsigned number, struct str *record);

#endif
