// SPDX-License-Identifier: Apache-2.0
// ticks: compares the counter with CLOCK_MONOTONIC. Only the time since the last comparison counts, so that after a
// suspend of the machine only one comparison is wrong.
#include "base/ticks.h"

#include <time.h>

enum { SHORTEST_NS = 1000000, LOOKS = 8 };

_Atomic uint64_t ticks_scale;

static struct { uint64_t ticks, ns; } last;

uint64_t ticks_monotonic_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Both clocks at the same moment. The shortest of several readings counts: between the two clocks this thread may
 * have been preempted. */
static void look(uint64_t *ticks, uint64_t *ns) {
  uint64_t shortest = UINT64_MAX;
  for (int i = 0; i < LOOKS; i++) {
    uint64_t before = ticks_now(), between = ticks_monotonic_ns(), took = ticks_since(before);
    if (took >= shortest) continue;
    shortest = took;
    *ticks = before + took / 2;
    *ns = between;
  }
}

void ticks_calibrate(void) {
  uint64_t ticks = 0, ns = 0;
  do look(&ticks, &ns);
  while (last.ns && ns - last.ns < SHORTEST_NS);
  if (last.ns && ticks > last.ticks) {
    unsigned __int128 us_shifted = ((unsigned __int128)(ns - last.ns) << TICKS_SHIFT) / 1000;
    atomic_store_explicit(&ticks_scale, (uint64_t)(us_shifted / (ticks - last.ticks)), memory_order_relaxed);
  }
  last.ticks = ticks;
  last.ns = ns;
}
