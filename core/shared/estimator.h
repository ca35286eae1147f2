// SPDX-License-Identifier: Apache-2.0
// estimator: a count-min sketch (Cormode and Muthukrishnan 2005). It counts events by key in fixed memory; the estimate
// is never below the true count (of non-negative events), and above it by what shares all its cells: with w slots and d
// hashes, and N events in all, by more than 2.72 N / w only once in e^d keys. Use it to see which keys are frequent; to
// refuse requests by a count, use shared/counts. Thread-safe: additions to one key are made under one of several
// short locks; everything else is relaxed atomics.
#ifndef PERILUNE_SHARED_ESTIMATOR_H
#define PERILUNE_SHARED_ESTIMATOR_H

#include <stdint.h>

#include "base/str.h"

struct estimator;

/* `hashes` rows of `slots` counters. Keys are hashed with XXH3 under a random seed of this estimator. */
struct estimator *estimator_new(unsigned hashes, unsigned slots);
void estimator_free(struct estimator *e);
/* Adds n (may be negative) and returns the new estimate. Of n = 1 events of one key, no two get the same. */
int64_t estimator_add(struct estimator *e, struct str key, int64_t n);
int64_t estimator_get(const struct estimator *e, struct str key);
void estimator_reset(struct estimator *e);

#endif
