// SPDX-License-Identifier: Apache-2.0
// choose: which backend of a set is next. Tiers are tried in order; within a tier, the algorithm chooses among
// the backends that are enabled, fit, below their limits and not excluded.
//
// To add an algorithm: a line here, and its function in choose.c.
#ifndef PERILUNE_SHARED_CHOOSE_H
#define PERILUNE_SHARED_CHOOSE_H

#include "shared/backends.h"
#include "shared/tried.h"

#define ALGORITHM_TABLE(X)                                                                                   \
  X(round_robin)       /* by weight, one turn for all workers */                                             \
  X(smooth)            /* by weight, evenly spread; each worker has its own turn */                          \
  X(random)            /* by weight */                                                                       \
  X(hash)              /* FNV-1a of the key */                                                               \
  X(consistent)        /* Ketama: when a backend goes, only its keys move */                                 \
  X(bounded)           /* the same, but none has more than its share of requests and a quarter */            \
  X(least_connections) /* the fewest requests under way, by weight */                                        \
  X(least_latency)     /* of two taken at random the one with less latency times requests under way */

enum algorithm {
#define X(name) ALGORITHM_##name,
  ALGORITHM_TABLE(X)
#undef X
};

struct choice {
  struct str key; /* for the hashes */
  const unsigned *excluded;
  unsigned excluded_count;
  const struct tried *tried; /* borrowed, or NULL: passed over while another is left */
  unsigned max_picks;        /* round_robin, hash: tries before it gives up; 0: until all were tried */
  bool takes_no_turn;        /* round_robin: others do not notice */
  bool overloaded;           /* out, with BACKEND_NONE: some would have served, but are at their limits */
};

/* A position in the view's list, or BACKEND_NONE. */
int backends_choose(struct backends_view *view, enum algorithm algorithm, struct choice *choice);

enum { CHOICE_BYTES = 256 };

/* "set 'orders': none of 2 backends is healthy": why BACKEND_NONE was chosen. `set` is its name. Gives `room`. */
const char *choice_explain(const struct backends_view *view, const struct choice *choice, struct str set,
                           char room[CHOICE_BYTES]) __attribute__((cold));

/* Is there a backend of the list that would serve, and that was not tried? */
bool backends_have_other(const struct backends_view *view, const struct tried *tried);

uint64_t fnv1a_64(struct str text);

#endif
