// SPDX-License-Identifier: Apache-2.0
// counter: a whole number that all workers add to: one atomic.
#ifndef PERILUNE_SHARED_COUNTER_H
#define PERILUNE_SHARED_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

struct counter {
  _Atomic int64_t value;
};

/* Adds n, which may be negative, and returns the sum. It wraps, as atomics do. */
static inline int64_t counter_add(struct counter *c, int64_t n) {
  int64_t before = atomic_fetch_add_explicit(&c->value, n, memory_order_relaxed);
  return (int64_t)((uint64_t)before + (uint64_t)n);
}
static inline int64_t counter_get(const struct counter *c) {
  return atomic_load_explicit(&c->value, memory_order_relaxed);
}
/* Returns what it was before. */
static inline int64_t counter_set(struct counter *c, int64_t value) {
  return atomic_exchange_explicit(&c->value, value, memory_order_relaxed);
}

#endif
