// SPDX-License-Identifier: Apache-2.0
// How long a main chunk may take by the clock.
#include "lua/vm/watchdog.h"

#include "unit.h"

IT("lets a main chunk wait for three times its budget") {
  CHECK(!watch_load_is_over(10000, 29999, 0));
  CHECK(watch_load_is_over(10000, 30000, 0));
  CHECK(watch_load_is_over(100, 300, 50));
}

IT("ends a main chunk that has used much of its budget 5 s behind it, on a machine that is busy as well") {
  CHECK(!watch_load_is_over(10000, 14999, 9000));
  CHECK(watch_load_is_over(10000, 15000, 3400));
  CHECK(!watch_load_is_over(10000, 15000, 3300));
  CHECK(!watch_load_is_over(100, 299, 99));
}
