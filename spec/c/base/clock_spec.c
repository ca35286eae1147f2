// SPDX-License-Identifier: Apache-2.0
// Units for base/clock.
#include "base/clock.h"

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
