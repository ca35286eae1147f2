// SPDX-License-Identifier: Apache-2.0
// inflight: an estimator that is counted down again. That works because its cells are plain sums: what is
// taken away is exactly what was added.
#include "shared/inflight.h"

#include "base/memory.h"
#include "shared/estimator.h"

#include <stdlib.h>

enum { HASHES = 4, SLOTS = 4096 };

struct inflight {
  struct estimator *counts; /* owned */
};

struct inflight *inflight_new(void) {
  struct inflight *i = memory_alloc(sizeof *i);
  i->counts = estimator_new(HASHES, SLOTS);
  return i;
}

void inflight_free(struct inflight *i) {
  if (!i) return;
  estimator_free(i->counts);
  free(i);
}

/* Additions to one key take turns, so of two that want the last place one gets it. */
int64_t inflight_acquire(struct inflight *i, struct str key, int64_t max) {
  int64_t count = estimator_add(i->counts, key, 1);
  if (count <= max) return count;
  estimator_add(i->counts, key, -1);
  return -(count - 1);
}

void inflight_release(struct inflight *i, struct str key) { estimator_add(i->counts, key, -1); }

int64_t inflight_count(const struct inflight *i, struct str key) { return estimator_get(i->counts, key); }
