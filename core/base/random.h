// SPDX-License-Identifier: Apache-2.0
// random: numbers that spread well and are cheap (Steele, Lea and Flood's splitmix64). They are not secret: for what
// must not be guessed, use the system's random numbers.
#ifndef PERILUNE_BASE_RANDOM_H
#define PERILUNE_BASE_RANDOM_H

#include <stdint.h>

/* The next number of the generator whose state this is; any state is good to begin with. */
static inline uint64_t random_next(uint64_t *state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

/* One of 0 to limit - 1. */
static inline uint64_t random_below(uint64_t *state, uint64_t limit) {
  return (uint64_t)(((unsigned __int128)random_next(state) * limit) >> 64);
}

#endif
