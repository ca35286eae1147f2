// SPDX-License-Identifier: Apache-2.0
// How long a main chunk may take by the clock.
#include "lua/vm/watchdog.h"

#include "unit.h"

IT("lets a main chunk wait for three times its budget, but never for more than 5 s beyond it") {
  CHECK(watch_load_ms(0) == 0);
  CHECK(watch_load_ms(100) == 300);
  CHECK(watch_load_ms(2500) == 7500);
  CHECK(watch_load_ms(10000) == 15000); /* by default: also on a machine that is busy */
  CHECK(watch_load_ms(3600000) == 3605000);
}
