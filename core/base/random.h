// SPDX-License-Identifier: Apache-2.0
// random: numbers that spread well and are cheap (Steele, Lea and Flood's splitmix64). They are not secret: for what
// must not be guessed, use random_fill, which gives the system's random numbers. Nothing else asks the system for them,
// but OpenSSL: so a replay decides the same each time.
#ifndef PERILUNE_BASE_RANDOM_H
#define PERILUNE_BASE_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RANDOM_STEP 0x9e3779b97f4a7c15u

/* The next number of the generator whose state this is; any state is good to begin with. */
static inline uint64_t random_next(uint64_t *state) {
  uint64_t z = *state += RANDOM_STEP;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

/* One of 0 to limit - 1. */
static inline uint64_t random_below(uint64_t *state, uint64_t limit) {
  return (uint64_t)(((unsigned __int128)random_next(state) * limit) >> 64);
}

/* The system's random numbers, or in a replay those of its seed. `flags`: of getrandom(); up to 256 bytes are never
 * short. False: the system has none yet. */
bool random_fill(void *bytes, size_t count, unsigned flags);
/* For the rest of the process, which is a replay: what random_fill gives follows from `seed`, and can be guessed. */
void random_repeat(uint64_t seed);
/* Has random_repeat been called? */
bool random_repeats(void);

#endif
