// SPDX-License-Identifier: Apache-2.0
// race: connects to the first of several addresses that accepts (RFC 8305 section 5). The next attempt starts 250 ms
// after the last, or at once if that fails. The first connection is used, and the others are closed.
#ifndef PERILUNE_NET_RACE_H
#define PERILUNE_NET_RACE_H

#include <ev.h>

#include "net/addr.h"

struct race;

enum { RACE_MOST = 8, RACE_DELAY_MS = 250 };

/* One attempt; that of race->addresses[i] is race->runners[i]. */
struct runner {
  ev_io watcher; /* its fd is owned */
  struct race *race;
  bool runs;
};

struct race {
  struct ev_loop *loop;         /* borrowed */
  const struct addr *addresses; /* borrowed until the end */
  unsigned count, started, running;
  ev_timer delay;
  unsigned delay_ms;
  int code, local_code; /* errno of the last that failed for the peer's sake; for ours */
  struct runner runners[RACE_MOST];
  /* The socket passes over; the race may go on with race_go_on. -1: all have failed. Called from the loop. */
  void (*on_end)(struct race *race, int fd, unsigned winner);
  /* This address failed, or was overtaken. May be NULL; may be called from inside of race_start and race_go_on. */
  void (*on_lost)(struct race *race, unsigned index);
};

/* The first RACE_MOST of `count` addresses. Set on_end and on_lost before. Where there are only `patience_ms` for all
 * of them, the next one starts earlier. */
void race_start(struct race *race, struct ev_loop *loop, const struct addr *addresses, unsigned count,
                unsigned patience_ms);
/* With the addresses that have not been tried. False: there are none. */
bool race_go_on(struct race *race);
/* Ends it without a callback. Harmless when it is over, or zero. */
void race_stop(struct race *race);
/* Of a race that all have lost: what the last one said; and whether all failed for want of something of ours. */
int race_code(const struct race *race);
bool race_failed_locally(const struct race *race);
/* Is this errno of socket(2) or connect(2) a shortage of ours, and not the peer's fault? */
bool race_is_local(int code, const struct addr *addr);

#endif
