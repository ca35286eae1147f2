// SPDX-License-Identifier: Apache-2.0
// clock: the system's monotonic clock and the fake one of tests.
#include "base/clock.h"

static uint64_t system_now_ms(const struct clock *self) {
  (void)self;
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

const struct clock clock_system = {system_now_ms};

int64_t clock_wall_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct moment moment_now(void) {
  return (struct moment){.date = time(NULL), .ms = (int64_t)clock_now_ms(&clock_system)};
}

struct moment moment_of_date(time_t date) {
  struct moment now = moment_now();
  int64_t age_s = date && now.date > date ? (int64_t)(now.date - date) : 0;
  return (struct moment){.date = date, .ms = now.ms - age_s * 1000};
}

int64_t moment_age_s(struct moment moment) {
  return moment.date ? ((int64_t)clock_now_ms(&clock_system) - moment.ms) / 1000 : 0;
}

bool clock_await(const atomic_bool *flag, unsigned ms) {
  const struct timespec pause = {0, 1000000};
  for (uint64_t end = clock_now_ms(&clock_system) + ms; !atomic_load(flag);) {
    if (clock_now_ms(&clock_system) >= end) return false;
    nanosleep(&pause, NULL);
  }
  return true;
}

static uint64_t fake_now_ms(const struct clock *self) { return ((const struct clock_fake *)self)->ms; }

void clock_fake_init(struct clock_fake *fake, uint64_t ms) {
  *fake = (struct clock_fake){.clock = {fake_now_ms}, .ms = ms};
}
