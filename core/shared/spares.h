// SPDX-License-Identifier: Apache-2.0
// spares: which worker has spare connections to which peer, so that one without any knows whom to ask. It holds
// no connection itself; those never leave the hands of a worker. Each worker states its own number in a cell of
// its own, by a plain store; the others read it, which is a hint and may be old.
//
// Words. identity: all that makes two peers of two workers the same, as bytes that are compared in full. owner:
// what one worker keeps its connections of that identity in; nobody else looks at it.
#ifndef PERILUNE_SHARED_SPARES_H
#define PERILUNE_SHARED_SPARES_H

#include "base/str.h"
#include "shared/cell.h"

struct spares_board;

struct spares_of_worker {
  _Alignas(64) cell count;
  void *owner; /* borrowed; the worker's business */
};

struct spares {
  struct spares_board *board; /* borrowed */
  struct spares *next;        /* in a bucket of the board */
  uint64_t hash;
  struct str identity; /* owned */
  atomic_uint refs;
  struct spares_of_worker of[];
};

enum { SPARES_NOBODY = -1 };

/* For workers 0 to `workers` - 1. */
struct spares_board *spares_board_new(unsigned workers);
/* After all references are gone. */
void spares_board_free(struct spares_board *board);

/* The entry of an identity, found or made, in which `owner` is this worker's from now on. A reference, until
 * spares_leave. Thread-safe. */
struct spares *spares_join(struct spares_board *board, struct str identity, unsigned worker, void *owner);
void spares_leave(struct spares *spares, unsigned worker);
/* For who has one already. Thread-safe. */
void spares_hold(struct spares *spares);
void spares_release(struct spares *spares);

/* Both in that worker only. */
static inline void spares_state(struct spares *spares, unsigned worker, unsigned count) {
  cell_set(&spares->of[worker].count, count);
}
static inline void *spares_owner(struct spares *spares, unsigned worker) { return spares->of[worker].owner; }
/* The other worker with the most, of equal ones the next in turn; none of those with avoided[worker] > 0. Or
 * SPARES_NOBODY. */
int spares_richest(const struct spares *spares, unsigned worker, const unsigned *avoided);

#endif
