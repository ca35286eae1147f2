// SPDX-License-Identifier: Apache-2.0
// counts: how often something has happened in the current window, by key: exactly, and in fixed memory. All keys have
// the same windows: a window begins with the first event after the end of the last one. If there are more keys than
// room, a count is forgotten. So a count can be too low, but never too high: nobody within a limit is refused.
//
// Room: a key belongs to one set of sixteen places, by a hash that nobody outside can predict. If its set is full,
// the lowest count is dropped. So keys that come once displace each other and the lowest count of each set, but not
// the high counts: to have a count of n forgotten, somebody must bring sixteen counts of n into its set, which takes
// about n times as many events as there are places. Thread-safe: an operation holds one of several locks for a few
// instructions.
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
