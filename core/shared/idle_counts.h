// SPDX-License-Identifier: Apache-2.0
// idle_counts: how many idle connections each worker has to each peer, so that a worker without one knows which sibling
// to ask (upstream/borrow.h). The table has no connections, only numbers: each worker writes its own number
// with a plain store, and the others read it. A number is a hint and may be out of date.
//
// Words. identity: everything that must be equal for two workers' peers to be the same, as bytes that are compared in
// full. owner: the object in which a worker keeps its connections of that identity (its struct peer); only that
// worker uses it.
#ifndef PERILUNE_SHARED_IDLE_COUNTS_H
#define PERILUNE_SHARED_IDLE_COUNTS_H

#include "base/str.h"
#include "shared/cell.h"

struct idle_counts_table;

struct idle_counts_of_worker {
  _Alignas(64) cell count;
  void *owner; /* borrowed; the worker's business */
};

struct idle_counts {
  struct idle_counts_table *table; /* borrowed */
  struct idle_counts *next;        /* in a bucket of the table */
  uint64_t hash;
  struct str identity; /* owned */
  atomic_uint refs;
  struct idle_counts_of_worker of[];
};

enum { IDLE_COUNTS_NOBODY = -1 };

/* For workers 0 to `workers` - 1. */
struct idle_counts_table *idle_counts_table_new(unsigned workers);
/* After all references are gone. */
void idle_counts_table_free(struct idle_counts_table *table);

/* The entry of an identity, found or made, in which `owner` is this worker's from now on. A reference, until
 * idle_counts_leave. Thread-safe. */
struct idle_counts *idle_counts_join(struct idle_counts_table *table, struct str identity, unsigned worker,
                                     void *owner);
void idle_counts_leave(struct idle_counts *counts, unsigned worker);
/* For callers that have one already. Thread-safe. */
void idle_counts_hold(struct idle_counts *counts);
void idle_counts_release(struct idle_counts *counts);

/* Both in that worker only. */
static inline void idle_counts_state(struct idle_counts *counts, unsigned worker, unsigned count) {
  cell_set(&counts->of[worker].count, count);
}
static inline void *idle_counts_owner(struct idle_counts *counts, unsigned worker) {
  return counts->of[worker].owner;
}
/* The other worker with the most, of equal ones the next in turn; none of those with avoided[worker] > 0. Or
 * IDLE_COUNTS_NOBODY. */
int idle_counts_most(const struct idle_counts *counts, unsigned worker, const unsigned *avoided);

#endif
