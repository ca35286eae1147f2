// SPDX-License-Identifier: Apache-2.0
// virtual_time: time that passes only when a test advances it, so that a timeout of an hour takes no time. Once
// begun, it applies to all timers and loops of the process, which must have one thread then.
#ifndef PERILUNE_NET_VIRTUAL_TIME_H
#define PERILUNE_NET_VIRTUAL_TIME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

struct timer;

struct virtual_time {
  bool on;
  uint64_t now_ms;
  /* Of a replay (runtime/replaying.h): there is no network, what is random is the same each time, hooks have their
   * budget, and the time of day is wall_s at 0 ms. */
  bool is_replay;
  uint64_t refused; /* connections and lookups that were asked for */
  double wall_s;
};
extern struct virtual_time virtual_time;
/* The same time as a clock. */
extern const struct clock clock_virtual;

/* For the rest of the process. */
void virtual_time_begin(uint64_t now_ms);
/* Time passes: timers fire in the order in which they are due, each at its own time. 0: those due now. */
void virtual_time_advance(uint64_t ms);
/* ms until the next timer is due; UINT64_MAX: none is set. */
uint64_t virtual_time_left_ms(void);

/* For net/timer: the timer's `due` was set, in seconds; it will not be touched again. */
void virtual_time_add(struct timer *timer);
void virtual_time_remove(struct timer *timer);

#endif
