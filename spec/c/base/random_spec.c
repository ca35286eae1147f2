// SPDX-License-Identifier: Apache-2.0
// Units for base/random.
#include "base/random.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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

static bool repeats(void) {
  unsigned char one[21], two[21], other[21];
  random_repeat(5);
  bool fills = random_repeats() && random_fill(one, sizeof one, 0) && random_fill(other, sizeof other, 0);
  random_repeat(5);
  return fills && random_fill(two, sizeof two, 0) && memcmp(one, two, sizeof one) == 0 &&
         memcmp(one, other, sizeof one) != 0;
}

IT("gives the system's numbers, and after random_repeat those of its seed, of any length") {
  unsigned char one[21] = {0}, two[21] = {0};
  int status = -1;
  CHECK(!random_repeats());
  CHECK(random_fill(one, sizeof one, 0) && random_fill(two, sizeof two, 0));
  CHECK(memcmp(one, two, sizeof one) != 0);
  pid_t child = fork(); /* it is for the rest of a process */
  if (child == 0) _exit(repeats() ? 0 : 1);
  CHECK(waitpid(child, &status, 0) == child && status == 0);
}
