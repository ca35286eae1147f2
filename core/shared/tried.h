// SPDX-License-Identifier: Apache-2.0
// tried: the addresses that an exchange has asked so far, by their hashes. Further attempts avoid them while
// another backend is left. If two addresses have the same hash, one backend less can be chosen; if there are very
// many addresses, only the latest are remembered.
#ifndef PERILUNE_SHARED_TRIED_H
#define PERILUNE_SHARED_TRIED_H

#include <stdbool.h>
#include <stdint.h>

enum { TRIED_MOST = 6 };

struct tried {
  uint32_t count; /* also of those that were forgotten */
  uint32_t hashes[TRIED_MOST];
};

static inline void tried_add(struct tried *tried, uint64_t hash) {
  tried->hashes[tried->count++ % TRIED_MOST] = (uint32_t)hash;
}

static inline bool tried_has(const struct tried *tried, uint64_t hash) {
  uint32_t count = tried->count < TRIED_MOST ? tried->count : TRIED_MOST;
  for (uint32_t i = 0; i < count; i++)
    if (tried->hashes[i] == (uint32_t)hash) return true;
  return false;
}

#endif
