// SPDX-License-Identifier: Apache-2.0
// random: the one door to the system's random numbers, so that a replay can have them again.
#include "base/random.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/random.h>

static atomic_bool repeats;
static _Atomic uint64_t state; /* hashes of passwords draw in other threads */

void random_repeat(uint64_t seed) {
  atomic_store(&state, seed);
  atomic_store(&repeats, true);
}

bool random_repeats(void) { return atomic_load_explicit(&repeats, memory_order_relaxed); }

bool random_fill(void *bytes, size_t count, unsigned flags) {
  unsigned char *at = bytes;
  if (!random_repeats()) return getrandom(bytes, count, flags) == (ssize_t)count;
  while (count > 0) {
    uint64_t step = atomic_fetch_add(&state, RANDOM_STEP), number = random_next(&step);
    size_t part = count < sizeof number ? count : sizeof number;
    memcpy(at, &number, part);
    at += part;
    count -= part;
  }
  return true;
}
