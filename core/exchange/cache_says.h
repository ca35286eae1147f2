// SPDX-License-Identifier: Apache-2.0
// cache_says: what the policy's hooks of the cache decide. Each call has one of its own, in the arena of the exchange;
// a hook that returns nothing has none.
#ifndef PERILUNE_EXCHANGE_CACHE_SAYS_H
#define PERILUNE_EXCHANGE_CACHE_SAYS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum cache_verdict { CACHE_VERDICT_NONE, CACHE_VERDICT_NO, CACHE_VERDICT_YES };

/* What cache_hit_filter makes of what was found. */
enum cache_force { CACHE_FORCE_NONE, CACHE_FORCE_FRESH, CACHE_FORCE_EXPIRED, CACHE_FORCE_MISS };

enum { CACHE_SAYS_MOST = 32, CACHE_TEXT_MOST = 8192 };

struct cache_says {
  enum cache_verdict verdict; /* false, true */
  enum cache_force force;
  struct str text; /* of cache_key_callback, cache_vary_filter; .ptr NULL: none */
  /* request_cache_filter, response_cache_filter: */
  bool has_ttl, has_while_revalidate, has_if_error, has_lock_wait;
  bool refreshes, only_if_cached, is_never_stale;
  uint32_t ttl_s, while_revalidate_s, if_error_s;
  unsigned lock_wait_ms;
  uint64_t object_most; /* 0: as the cache says */
  unsigned tag_count, strip_count;
  struct str *tags;  /* arena: names of groups that it is purged with */
  struct str *strip; /* arena: names of fields that are taken out */
};

#endif
