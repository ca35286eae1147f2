// SPDX-License-Identifier: Apache-2.0
// coalesce: how soon a busy loop looks for events again. Where many requests are under way and the others (clients,
// peers, the network) are slower than we are, a loop that looks at once finds a few events each time, and pays the way
// into the kernel, a change of tasks and cold caches for them. As network cards moderate their interrupts (adaptive
// coalescing, ethtool(8)), it leaves a short while between two looks then, and serves what has come together.
//
// Latency comes first: the while is an eighth of what an exchange takes on average, and 0.1 ms at most; there is none
// while less than one exchange ends in it, nor after a turn that was longer. So one connection, or ten fast ones, never
// wait, whatever their rate is: by Little's law eight must be under way.
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

/* The while between two looks where `ended` exchanges of `mean_us` on average ended in `window_us`. */
unsigned coalesce_interval_us(unsigned ended, uint64_t window_us, unsigned mean_us);

#endif
