// SPDX-License-Identifier: Apache-2.0
// rate: events per second by key over two alternating windows ("red" and "blue"), each an estimator. One
// window collects while the other one has the last complete interval. All operations are thread-safe: the first
// call after an interval exchanges the windows under a lock; other calls find them with one atomic load.
#ifndef PERILUNE_SHARED_RATE_H
#define PERILUNE_SHARED_RATE_H

#include <stdint.h>

#include "base/clock.h"
#include "base/str.h"

struct rate;

enum { RATE_HASHES = 4, RATE_SLOTS = 1024, RATE_SLOTS_MOST = 1 << 24, RATE_SLOT_BYTES = 64 };

/* Windows of interval_ms (at least 1). `clock` is borrowed and must outlive the rate. */
struct rate *rate_new(uint64_t interval_ms, unsigned hashes, unsigned slots, const struct clock *clock);
void rate_free(struct rate *r);
uint64_t rate_interval_ms(const struct rate *r);
unsigned rate_slots(const struct rate *r);

/* Counts n events and returns how many there are in the current window, these included. */
int64_t rate_observe(struct rate *r, struct str key, int64_t n);
/* Events per second of the last completed window; 0 where it is too old. */
double rate_per_second(struct rate *r, struct str key);

struct rate_parts {
  int64_t previous, current; /* counts of the two windows, 0 where too old */
  double fraction;           /* of the interval that has passed: (past mod interval) / interval */
};
/* What an estimate of one's own is made from. */
struct rate_parts rate_parts(struct rate *r, struct str key);
/* (previous * (1 - fraction) + current) per second: a sliding window. */
double rate_proportional(struct rate *r, struct str key);

#endif
