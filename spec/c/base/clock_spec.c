// SPDX-License-Identifier: Apache-2.0
// Units for base/clock.
#include "base/clock.h"

#include <pthread.h>

#include "unit.h"

IT("does not go back, and is ahead of zero") {
  uint64_t first = clock_now_ms(&clock_system), second = clock_now_ms(&clock_system);
  CHECK(first > 0);
  CHECK(second >= first && second - first < 60000);
}

IT("stands still as a fake until it is set") {
  struct clock_fake fake;
  clock_fake_init(&fake, 1000);
  CHECK(clock_now_ms(&fake.clock) == 1000);
  CHECK(clock_now_ms(&fake.clock) == 1000);
  fake.ms += 500;
  CHECK(clock_now_ms(&fake.clock) == 1500);
}

static void *set(void *flag) {
  atomic_store((atomic_bool *)flag, true);
  return NULL;
}

IT("waits until another thread has set a flag, or for as long as it may") {
  atomic_bool flag = false;
  pthread_t thread;
  uint64_t begun = clock_now_ms(&clock_system);
  CHECK(!clock_await(&flag, 20));
  CHECK(clock_now_ms(&clock_system) - begun >= 20);
  if (!CHECK(pthread_create(&thread, NULL, set, &flag) == 0)) return;
  CHECK(clock_await(&flag, 60000));
  CHECK(clock_now_ms(&clock_system) - begun < 60000);
  pthread_join(thread, NULL);
}
