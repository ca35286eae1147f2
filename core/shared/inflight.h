// SPDX-License-Identifier: Apache-2.0
// inflight: counts current uses by key, over all workers. The counts are exact: a key is counted as long as it is
// used, and no current use is ever forgotten. Memory is proportional to the keys in use, and bounded: if `keys` of
// them are in use already, a use of a new key is allowed without being counted, and such uses are counted as
// overflows. Thread-safe: an operation holds one of several locks for a few instructions.
#ifndef PERILUNE_SHARED_INFLIGHT_H
#define PERILUNE_SHARED_INFLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct inflight;

enum { INFLIGHT_KEYS = 65536, INFLIGHT_KEYS_MOST = 1 << 26, INFLIGHT_KEY_BYTES = 48 };

/* About INFLIGHT_KEY_BYTES for each of `keys`. */
struct inflight *inflight_new(unsigned keys);
void inflight_free(struct inflight *i);
unsigned inflight_keys(const struct inflight *i);
/* What it takes at the moment; how many acquires were not counted, since it was made. */
size_t inflight_bytes(const struct inflight *i);
uint64_t inflight_uncounted(const struct inflight *i);

/* One acquire that was granted. */
struct inflight_hold {
  uint64_t key;
  bool is_counted;
};

/* Counts one more and returns how many there are, unless that is more than `max`: then nothing is counted, and the
 * number that was found is returned, negated. `hold` is for inflight_release, where one is granted. */
int64_t inflight_acquire(struct inflight *i, struct str key, int64_t max, struct inflight_hold *hold);
/* Once for each acquire that was granted. */
void inflight_release(struct inflight *i, struct inflight_hold *hold);
int64_t inflight_count(struct inflight *i, struct str key);

#endif
