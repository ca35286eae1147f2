// SPDX-License-Identifier: Apache-2.0
// limiter: may another request of this key pass? Exact by key, and in fixed memory: if there are more keys than room,
// the key that has used the least of its limit is forgotten, so an error can only let too many pass. Thread-safe: an
// operation holds one of several locks for a few instructions.
#ifndef PERILUNE_SHARED_LIMITER_H
#define PERILUNE_SHARED_LIMITER_H

#include "base/clock.h"
#include "base/str.h"

enum { LIMITER_KEYS_MOST = 1 << 26, LIMITER_KEY_BYTES = 24 };

struct limiter;

enum limiter_kind {
  LIMITER_WINDOW, /* `max` in any `interval_ms`: a sliding window, the last one counted in part */
  LIMITER_BUCKET  /* `max` per `interval_ms`, evenly; `burst` at once (GCRA, ITU-T I.371) */
};

struct limiter_rules {
  enum limiter_kind kind;
  unsigned max, burst; /* at least 1 */
  unsigned interval_ms;
  unsigned keys; /* how many there is room for, about */
};

struct limiter_verdict {
  bool passes;
  unsigned remaining; /* requests that would pass now, after this one */
  uint64_t reset_ms;  /* until the limit is whole again, or the window is over */
  uint64_t retry_ms;  /* until the next request passes; 0 where one would now */
};

struct limiter *limiter_new(const struct limiter_rules *rules, const struct clock *clock);
void limiter_free(struct limiter *limiter);
const struct limiter_rules *limiter_rules(const struct limiter *limiter);
/* What it takes; and how many keys whose limit was not whole were forgotten for want of room. */
size_t limiter_bytes(const struct limiter *limiter);
uint64_t limiter_forgotten(struct limiter *limiter);
/* A request that does not pass is not counted. */
struct limiter_verdict limiter_take(struct limiter *limiter, struct str key);

#endif
