// SPDX-License-Identifier: Apache-2.0
// peer_figures: what the metrics show of peers that speak HTTP/2, by their address, for the whole process. Workers
// state from time to time by how much their own part has changed, so nothing here is touched for a request. Policies
// may invent peers: of FIGURES_MOST addresses there are figures, of later ones none.
#ifndef PERILUNE_SHARED_PEER_FIGURES_H
#define PERILUNE_SHARED_PEER_FIGURES_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/str.h"

enum { FIGURES_MOST = 256 };

struct peer_figures {
  struct peer_figures *next;
  struct str address; /* owned */
  _Atomic int64_t connections, streams;
  _Atomic uint64_t resets;
};

/* Those of an address, as long as the process lives; NULL: there are too many. Thread-safe. */
struct peer_figures *peer_figures_of(struct str address);
/* All of them, in the order of their first use. Thread-safe. */
void peer_figures_each(void (*show)(const struct peer_figures *figures, void *owner), void *owner);

#endif
