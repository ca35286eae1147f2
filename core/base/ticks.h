// SPDX-License-Identifier: Apache-2.0
// ticks: the cheapest clock: the processor's counter takes a few instructions, clock_gettime about sixty. It is for
// durations that are measured at every request. The length of a tick is measured at the start and again every
// second.
#ifndef PERILUNE_BASE_TICKS_H
#define PERILUNE_BASE_TICKS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Microseconds in a tick, times 2^TICKS_SHIFT. */
extern _Atomic uint64_t ticks_scale;
enum { TICKS_SHIFT = 40 };

uint64_t ticks_monotonic_ns(void);

static inline uint64_t ticks_now(void) {
#if defined __x86_64__
  return __builtin_ia32_rdtsc();
#elif defined __aarch64__
  uint64_t ticks;
  __asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
  return ticks;
#else
  return ticks_monotonic_ns();
#endif
}

static inline uint64_t ticks_to_us(uint64_t ticks) {
  uint64_t scale = atomic_load_explicit(&ticks_scale, memory_order_relaxed);
  return (uint64_t)(((unsigned __int128)ticks * scale) >> TICKS_SHIFT);
}

/* Is it that many microseconds or more? Of less than 16 s. */
static inline bool ticks_reach(uint64_t ticks, uint64_t us) {
  uint64_t scaled;
  return __builtin_mul_overflow(ticks, atomic_load_explicit(&ticks_scale, memory_order_relaxed), &scaled) ||
         scaled >= us << TICKS_SHIFT;
}

/* Counters of different processors may differ a little: then no time has passed. */
static inline uint64_t ticks_since(uint64_t begun) {
  uint64_t now = ticks_now();
  return now > begun ? now - begun : 0;
}

/* Measures the length of a tick since it was called last. One thread calls it: twice before the clock is
 * used (the second call waits until a millisecond has passed), and then now and again. */
void ticks_calibrate(void);

#endif
