// SPDX-License-Identifier: Apache-2.0
// clock: monotonic time in milliseconds. Tests can replace it, so that tests of timeouts and rate windows take
// no time.
#ifndef PERILUNE_BASE_CLOCK_H
#define PERILUNE_BASE_CLOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/* A source of time: now(self) in ms since an arbitrary start, never going back. */
struct clock {
  uint64_t (*now_ms)(const struct clock *self);
};

/* CLOCK_MONOTONIC; thread-safe. */
extern const struct clock clock_system;
static inline uint64_t clock_now_ms(const struct clock *clock) { return clock->now_ms(clock); }
/* CLOCK_REALTIME: ms since 1970, the same for all processes; it may be set back. */
int64_t clock_wall_ms(void);

/* When something was: as the date that it was then, and for how long ago it is by a clock that does not jump. Zero:
 * never. */
struct moment {
  time_t date;
  int64_t ms; /* of clock_system; before 0 where it was before the machine started */
};
struct moment moment_now(void);
/* Of another process, which has left the date alone. */
struct moment moment_of_date(time_t date);
/* Seconds since then; 0 where it never was. */
int64_t moment_age_s(struct moment moment);

/* Waits until another thread has set the flag, at most so long: for the end of threads, where the time of day, which
 * pthread_timedjoin_np waits by, may be set back. False: it is not set. */
bool clock_await(const atomic_bool *flag, unsigned ms);

/* A clock that stands still until it is set; `clock` must be the first member. */
struct clock_fake {
  struct clock clock;
  uint64_t ms;
};
void clock_fake_init(struct clock_fake *fake, uint64_t ms);

#endif
