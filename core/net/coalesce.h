// SPDX-License-Identifier: Apache-2.0
// coalesce: how soon a busy loop polls for events again. If many requests are active, and the other sides (clients,
// peers, the network) are slower than this process, a loop that polls at once finds only a few events each time, and
// each poll costs a system call, a task switch and cold caches. Like the interrupt moderation of network cards
// (adaptive coalescing, ethtool(8)), the loop then waits a short time between two polls, and serves all events that
// have come.
//
// Latency comes first: the wait is an eighth of the average time of an exchange, and 0.1 ms at most. There is no wait
// while less than one exchange ends in it, nor after a turn that took longer. So one connection, or ten fast ones,
// never wait at any rate: by Little's law, eight requests must be active.
#ifndef PERILUNE_NET_COALESCE_H
#define PERILUNE_NET_COALESCE_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/ticks.h"

/* SAMPLE: what an exchange counts at most, so that those that wait for long do not hide the others. */
enum {
  COALESCE_WINDOW_US = 10000,
  COALESCE_MOST_US = 100,
  COALESCE_SHARE = 8,
  COALESCE_SAMPLE_US = 4 * COALESCE_SHARE * COALESCE_MOST_US
};

struct coalesce {
  ev_prepare before;
  ev_check behind;
  struct ev_loop *loop; /* borrowed */
  double woke;          /* ev_now behind the last look */
  double waits;         /* seconds: what libev was told */
  uint64_t began;       /* ticks: of the window that is measured */
  unsigned ended;       /* in it: exchanges */
  uint64_t sum_us;      /* what they took */
  unsigned mean_us;     /* what one takes, smoothed over windows */
  unsigned interval_us; /* in force; 0: none */
  bool is_stopped;
};

/* Does not keep the loop alive. */
void coalesce_init(struct coalesce *coalesce, struct ev_loop *loop);
/* From now on the loop looks at once. */
void coalesce_stop(struct coalesce *coalesce);
/* Call it in a thread whose loop may coalesce: without, Linux adds 50 us of slack to each wait (prctl(2)). */
void coalesce_thread_begin(void);

/* Of coalesce_add, where the window is over. */
void coalesce_measure(struct coalesce *coalesce);
/* An exchange has ended that took so long. In the loop's thread. */
static inline void coalesce_add(struct coalesce *coalesce, uint64_t us) {
  coalesce->ended++;
  coalesce->sum_us += us < COALESCE_SAMPLE_US ? us : COALESCE_SAMPLE_US;
  if (ticks_to_us(ticks_since(coalesce->began)) >= COALESCE_WINDOW_US) coalesce_measure(coalesce);
}

/* The interval between two polls, if `ended` exchanges of `mean_us` on average ended within `window_us`. */
unsigned coalesce_interval_us(unsigned ended, uint64_t window_us, unsigned mean_us);

#endif
