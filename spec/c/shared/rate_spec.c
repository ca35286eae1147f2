// SPDX-License-Identifier: Apache-2.0
// Units for shared/rate, on a clock that stands still.
#include "shared/rate.h"

#include <math.h>
#include <stdatomic.h>

#include "threads.h"
#include "unit.h"

#define KEY STR("key")

static struct clock_fake now;

static struct rate *new_rate(uint64_t interval_ms) {
  clock_fake_init(&now, 5000);
  return rate_new(interval_ms, RATE_HASHES, RATE_SLOTS, &now.clock);
}

static void at(uint64_t ms) { now.ms = 5000 + ms; }
static bool near(double got, double wanted) { return fabs(got - wanted) < 1e-9; }

IT("gives the rate of the last completed window") {
  struct rate *r = new_rate(1000);
  CHECK(rate_interval_ms(r) == 1000);
  CHECK(rate_observe(r, KEY, 3) == 3);
  CHECK(rate_observe(r, KEY, 2) == 5);
  CHECK(near(rate_per_second(r, KEY), 0));
  at(1000);
  CHECK(rate_observe(r, KEY, 4) == 4);
  CHECK(near(rate_per_second(r, KEY), 5));
  at(2000);
  CHECK(near(rate_per_second(r, KEY), 4));
  at(3000);
  CHECK(near(rate_per_second(r, KEY), 0));
  rate_free(r);
}

IT("slides the last window out in proportion") {
  struct rate *r = new_rate(1000);
  rate_observe(r, KEY, 3);
  rate_observe(r, KEY, 2);
  CHECK(near(rate_proportional(r, KEY), 5));
  at(500);
  CHECK(near(rate_proportional(r, KEY), 5) && near(rate_per_second(r, KEY), 0));
  at(1000);
  CHECK(rate_observe(r, KEY, 4) == 4);
  CHECK(near(rate_proportional(r, KEY), 9));
  at(1750);
  CHECK(near(rate_proportional(r, KEY), 5.25));
  at(2000);
  CHECK(near(rate_proportional(r, KEY), 4) && near(rate_per_second(r, KEY), 4));
  at(2500);
  CHECK(near(rate_proportional(r, KEY), 2) && near(rate_per_second(r, KEY), 4));
  at(3500);
  CHECK(near(rate_proportional(r, KEY), 0));
  rate_free(r);
}

static double ninety_ten(struct rate *r) {
  struct rate_parts parts = rate_parts(r, KEY);
  return 0.1 * (double)parts.previous + 0.9 * (double)parts.current;
}

IT("gives the parts for an estimate of one's own") {
  struct rate *r = new_rate(1000);
  rate_observe(r, KEY, 5);
  CHECK(near(ninety_ten(r), 4.5));
  at(1000);
  rate_observe(r, KEY, 4);
  CHECK(near(ninety_ten(r), 4.1));
  at(2000);
  CHECK(near(ninety_ten(r), 0.4));
  at(3000);
  CHECK(near(ninety_ten(r), 0));
  rate_free(r);
}

IT("says how much of the interval has passed, also in the call that turns the windows") {
  struct rate *r = new_rate(1000);
  rate_observe(r, KEY, 8);
  at(250);
  CHECK(near(rate_parts(r, KEY).fraction, 0.25));
  at(1500);
  struct rate_parts parts = rate_parts(r, KEY);
  CHECK(parts.previous == 8 && parts.current == 0 && near(parts.fraction, 0.5));
  CHECK(near(rate_parts(r, KEY).fraction, 0)); /* the new window began with that call */
  rate_free(r);
}

IT("is per second whatever the interval is") {
  struct rate *r = new_rate(10000);
  rate_observe(r, KEY, 50);
  at(10000);
  CHECK(near(rate_per_second(r, KEY), 5));
  rate_free(r);
}

IT("begins a window with the first call after the interval") {
  struct rate *r = new_rate(1000);
  at(200);
  CHECK(rate_observe(r, KEY, 7) == 7);
  at(1900);
  CHECK(near(rate_per_second(r, KEY), 7));
  at(2899);
  CHECK(near(rate_per_second(r, KEY), 7));
  at(2900);
  CHECK(near(rate_per_second(r, KEY), 0));
  rate_free(r);
}

IT("forgets both windows after two intervals of silence") {
  struct rate *r = new_rate(1000);
  at(200);
  rate_observe(r, KEY, 7);
  at(2500);
  CHECK(near(rate_per_second(r, KEY), 0));
  CHECK(rate_observe(r, KEY, 1) == 1);
  at(4500);
  struct rate_parts parts = rate_parts(r, KEY);
  CHECK(parts.previous == 0 && parts.current == 0);
  rate_free(r);
}

IT("turns at the interval exactly, not a millisecond before") {
  struct rate *r = new_rate(1000);
  rate_observe(r, KEY, 1);
  at(999);
  CHECK(rate_observe(r, KEY, 1) == 2);
  at(1000);
  CHECK(rate_observe(r, KEY, 1) == 1);
  rate_free(r);
}

IT("turns for all keys together") {
  struct rate *r = new_rate(1000);
  rate_observe(r, STR("a"), 1);
  at(1200);
  rate_observe(r, STR("b"), 1);
  at(2100);
  CHECK(near(rate_per_second(r, STR("a")), 1)); /* b's window began at 1200 */
  rate_free(r);
}

IT("takes an interval of 0 for the shortest one") {
  struct rate *r = new_rate(0);
  CHECK(rate_interval_ms(r) == 1 && rate_observe(r, KEY, 1) == 1);
  at(1);
  CHECK(near(rate_per_second(r, KEY), 1000));
  rate_free(r);
}

/* --- several threads --------------------------------------------------------------------------------- */

enum { TIMES = 2000, LIMIT = 100, WINDOWS = 30 };

struct limited {
  struct rate *rate;
  atomic_uint passed;
};

static void pass(void *argument, unsigned index) {
  struct limited *limited = argument;
  (void)index;
  for (int i = 0; i < TIMES; i++)
    if (rate_observe(limited->rate, KEY, 1) <= LIMIT) atomic_fetch_add(&limited->passed, 1);
}

/* In each round the threads find an expired window, race to turn it and then count. */
static void check_windows(uint64_t step_ms) {
  struct limited limited = {new_rate(1000), 0};
  for (unsigned i = 1; i <= WINDOWS; i++) {
    at(i * step_ms);
    atomic_store(&limited.passed, 0);
    threads_run(pass, &limited);
    CHECK(atomic_load(&limited.passed) == LIMIT);
    CHECK(rate_parts(limited.rate, KEY).current == (int64_t)THREADS * TIMES);
    CHECK(rate_parts(limited.rate, KEY).previous ==
          (i == 1 || step_ms >= 2000 ? 0 : (int64_t)THREADS * TIMES));
  }
  rate_free(limited.rate);
}

IT("loses no event and lets no more than the limit pass when threads meet at the turn") {
  check_windows(1000);
}
IT("does so after two intervals of silence, when both windows are emptied") { check_windows(2000); }

static uint64_t tick(const struct clock *self) {
  static _Atomic uint64_t calls;
  (void)self;
  return atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed) / 50;
}

static void observe(void *argument, unsigned index) {
  (void)index;
  for (int i = 0; i < TIMES; i++) {
    struct rate_parts parts = rate_parts(argument, KEY);
    CHECK(rate_observe(argument, KEY, 1) > 0 && parts.previous >= 0 && parts.fraction < 1);
  }
}

IT("stays sound while the time runs and windows turn all the time") {
  static const struct clock running = {tick};
  struct rate *r = rate_new(2, RATE_HASHES, 16, &running);
  threads_run(observe, r);
  CHECK(rate_parts(r, KEY).current <= (int64_t)THREADS * TIMES);
  rate_free(r);
}
