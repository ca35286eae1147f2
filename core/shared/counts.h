// SPDX-License-Identifier: Apache-2.0
// counts: how often something has happened by key in the current window, exactly, in fixed memory. Windows are the same
// for all keys: one begins with the first event after the last one's end. Where there are more keys than room, a count
// is forgotten, so an answer can be too low then, and never too high: whoever is within a limit is not refused.
//
// Room: a key has a place in one set of sixteen, by a hash that nobody outside can foresee. Of a full set the lowest
// count goes. So keys that come once push out one another and the lowest count of each set, and leave the seven highest
// alone: to have a count of n forgotten, somebody must bring sixteen counts of n into its set, which takes about n
// times as many events as there are places. Thread-safe; a key takes a lock of one of several for a few instructions.
#ifndef PERILUNE_SHARED_COUNTS_H
#define PERILUNE_SHARED_COUNTS_H

#include <stdint.h>

#include "base/clock.h"
#include "base/str.h"

struct counts;

enum { COUNTS_WAYS = 16, COUNTS_KEYS = 65536, COUNTS_KEYS_MOST = 1 << 26, COUNTS_KEY_BYTES = 32 };

/* Room for `keys` in a window, rounded up to a power of two of sets: COUNTS_KEY_BYTES each, since it is made for
 * twice as many. `interval_ms` is at least 1; `clock` is borrowed. */
struct counts *counts_new(uint64_t interval_ms, unsigned keys, const struct clock *clock);
void counts_free(struct counts *c);
uint64_t counts_interval_ms(const struct counts *c);
unsigned counts_keys(const struct counts *c);
/* What it takes; and how many counts of the window that ran were forgotten for want of room, since it was made. */
size_t counts_bytes(const struct counts *c);
uint64_t counts_forgotten(struct counts *c);

/* Counts `n` more; returns how many there are in the current window, these included. */
uint64_t counts_add(struct counts *c, struct str key, uint32_t n);
/* Looks. */
uint64_t counts_get(struct counts *c, struct str key);

#endif
