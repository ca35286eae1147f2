// SPDX-License-Identifier: Apache-2.0
#include "base/ticks.h"

#include "unit.h"

IT("tells a duration as the system's clock does") {
  ticks_calibrate();
  ticks_calibrate();
  uint64_t ns = ticks_monotonic_ns(), ticks = ticks_now();
  while (ticks_monotonic_ns() - ns < 2000000) {
  }
  uint64_t least = (ticks_monotonic_ns() - ns) / 1000, us = ticks_to_us(ticks_since(ticks)),
           most = (ticks_monotonic_ns() - ns) / 1000 + 1;
  CHECK(us * 10 >= least * 9 && us * 10 <= most * 11);
}

IT("lets no time pass where another processor's counter is behind") {
  CHECK(ticks_since(ticks_now() + (1ull << 40)) == 0);
}
