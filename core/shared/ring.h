// SPDX-License-Identifier: Apache-2.0
// ring: consistent hashing as nginx does it (Ketama with CRC-32): each backend has 160 points for each unit
// of its weight on a circle of 2^32; a key belongs to the backend of the first point at or after its own.
// When a backend is removed, only its keys move. A ring is never changed after it was made.
#ifndef PERILUNE_SHARED_RING_H
#define PERILUNE_SHARED_RING_H

#include "base/str.h"

struct ring_point {
  uint32_t hash;
  uint32_t member; /* as given by ring_add */
};

struct ring {
  unsigned count, room;
  struct ring_point points[];
};

/* For backends of `weight` in total. Beyond 2^22 points (32 MiB) all weights count in proportion. */
struct ring *ring_new(uint64_t weight, unsigned members);
/* Members in rising order. `total` is the weight given to ring_new. */
void ring_add(struct ring *ring, struct str address, unsigned member, uint64_t weight, uint64_t total);
/* Once all are added. */
void ring_close(struct ring *ring);
void ring_free(struct ring *ring);

/* The position of the point that a key belongs to. The ring is not empty. */
unsigned ring_find(const struct ring *ring, struct str key);
/* CRC-32 (ISO 3309), as in zlib. */
uint32_t crc32_of(struct str text);

#endif
