// SPDX-License-Identifier: Apache-2.0
// cell: a number that one thread changes and others read. A change is a plain load and a plain store, without a lock
// or an atomic instruction, because no other thread writes.
#ifndef PERILUNE_SHARED_CELL_H
#define PERILUNE_SHARED_CELL_H

#include <stdatomic.h>
#include <stdint.h>

typedef _Atomic uint64_t cell;

static inline uint64_t cell_get(const cell *c) { return atomic_load_explicit(c, memory_order_relaxed); }
static inline void cell_set(cell *c, uint64_t value) {
  atomic_store_explicit(c, value, memory_order_relaxed);
}
static inline void cell_add(cell *c, uint64_t n) { cell_set(c, cell_get(c) + n); }

#endif
