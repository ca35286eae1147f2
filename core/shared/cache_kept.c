// SPDX-License-Identifier: Apache-2.0
// cache_kept: the registry's objects hold a reference; fills that are under way have one of their own.
#include "shared/cache_kept.h"

#include <stdlib.h>

#include "base/memory.h"

static void *make(const void *config) {
  const struct cache_config *wanted = config;
  struct kept_cache *kept = memory_zalloc(sizeof *kept);
  kept->bytes = wanted->bytes;
  kept->cache = cache_new(wanted->bytes, wanted->clock ? wanted->clock : &clock_system, &kept->why);
  return kept;
}

static void release(void *object) {
  struct kept_cache *kept = object;
  cache_release(kept->cache);
  free(kept);
}

static bool fits(const void *object, const void *config) {
  const struct kept_cache *kept = object;
  return kept->cache && kept->bytes == ((const struct cache_config *)config)->bytes;
}

const struct registry_kind cache_kind = {"cache", make, release, fits};
