// SPDX-License-Identifier: Apache-2.0
// inflight: how many of something are under way, by key, over all workers. Exact: a key is counted for as long as there
// is one of it, and nothing that is under way is ever forgotten. Memory is that of the keys under way, and bounded:
// beyond `keys` of them at once what comes under a new key is let pass without being counted, which is counted itself.
// Thread-safe; a key takes a lock of one of several for a few instructions.
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
