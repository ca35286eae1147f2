// SPDX-License-Identifier: Apache-2.0
// inflight: how many of something are under way, by key, over all workers, in fixed memory. Counts are those
// of an estimator: never too low, too high by chance only. Thread-safe.
#ifndef PERILUNE_SHARED_INFLIGHT_H
#define PERILUNE_SHARED_INFLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct inflight;

struct inflight *inflight_new(void);
void inflight_free(struct inflight *i);
/* Counts one more and returns how many there are, unless that is more than `max`: then nothing is counted,
 * and the number that was found is returned, negated. */
int64_t inflight_acquire(struct inflight *i, struct str key, int64_t max);
/* Once for each acquire that counted. */
void inflight_release(struct inflight *i, struct str key);
int64_t inflight_count(const struct inflight *i, struct str key);

#endif
