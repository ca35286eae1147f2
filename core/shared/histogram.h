// SPDX-License-Identifier: Apache-2.0
// histogram: the distribution of durations, from a microsecond to hours, in fixed memory. Log-linear: each power
// of two is divided into eight equal buckets, so a bucket is at most an eighth of its value wide. Written by one
// thread, read by any.
#ifndef PERILUNE_SHARED_HISTOGRAM_H
#define PERILUNE_SHARED_HISTOGRAM_H

#include "shared/cell.h"

enum { HISTOGRAM_BITS = 3, HISTOGRAM_STEPS = 1 << HISTOGRAM_BITS, HISTOGRAM_BUCKETS = 256 };

struct histogram {
  cell buckets[HISTOGRAM_BUCKETS];
  cell sum; /* of all values */
};

/* What is longer than the last bucket reaches (4 hours) counts there. */
static inline unsigned histogram_bucket(uint64_t value) {
  if (value < HISTOGRAM_STEPS) return (unsigned)value;
  unsigned power = 63 - (unsigned)__builtin_clzll(value) - HISTOGRAM_BITS;
  unsigned bucket = (power + 1) * HISTOGRAM_STEPS + ((value >> power) & (HISTOGRAM_STEPS - 1));
  return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

static inline void histogram_add(struct histogram *h, uint64_t value) {
  cell_add(&h->buckets[histogram_bucket(value)], 1);
  cell_add(&h->sum, value);
}

/* The least value of a bucket; bucket HISTOGRAM_BUCKETS: what the last one reaches. */
uint64_t histogram_floor(unsigned bucket);
uint64_t histogram_count(const struct histogram *h);
/* What `now` has in addition to `before`. */
void histogram_difference(struct histogram *to, const struct histogram *now, const struct histogram *before);
/* The value that a share `q` (0 to 1) of all is not above, to the width of a bucket; 0 where there is none. */
uint64_t histogram_quantile(const struct histogram *h, double q);

#endif
