// SPDX-License-Identifier: Apache-2.0
// Units for base/random.
#include "base/random.h"

#include "unit.h"

IT("gives the published numbers of splitmix64") {
  uint64_t state = 1234567;
  CHECK(random_next(&state) == 6457827717110365317u);
  CHECK(random_next(&state) == 3203168211198807973u);
  CHECK(random_next(&state) == 9817491932198370423u);
}

IT("spreads over what is below a limit, and never reaches it") {
  uint64_t state = 0;
  unsigned counts[10] = {0};
  for (int i = 0; i < 10000; i++) {
    uint64_t number = random_below(&state, 10);
    if (CHECK(number < 10)) counts[number]++;
  }
  for (int i = 0; i < 10; i++) CHECK(counts[i] > 850 && counts[i] < 1150);
}
