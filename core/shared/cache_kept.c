// SPDX-License-Identifier: Apache-2.0
// cache_kept: the registry's objects hold a reference; fills that are under way have one of their own.
#include "shared/cache_kept.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"

static void *make(const void *config) {
  const struct cache_config *wanted = config;
  struct kept_cache *kept = memory_zalloc(sizeof *kept);
  kept->bytes = wanted->bytes;
  kept->path = wanted->path ? str_to_cstring(str_of(wanted->path)) : NULL;
  kept->cache = cache_new(wanted, &kept->why);
  const char *notice = kept->cache ? store_notice(cache_store(kept->cache)) : NULL;
  if (notice) log_warn("cache: %s", notice);
  return kept;
}

static void in_force(void *object) { ((struct kept_cache *)object)->was_in_force = true; }

/* A policy that was refused or tried leaves no file behind that was not there before. */
static void release(void *object) {
  struct kept_cache *kept = object;
  if (kept->cache && kept->path && !kept->was_in_force && store_has_made_file(cache_store(kept->cache)))
    unlink(kept->path);
  cache_release(kept->cache);
  free(kept->path);
  free(kept);
}

static bool fits(const void *object, const void *config) {
  const struct kept_cache *kept = object;
  const struct cache_config *wanted = config;
  bool is_same_file = kept->path ? wanted->path && strcmp(kept->path, wanted->path) == 0 : !wanted->path;
  return kept->cache && kept->bytes == wanted->bytes && is_same_file;
}

static void disown(const struct kept_cache *kept) {
  if (!kept->cache || !kept->path || !store_is_replaced(cache_store(kept->cache))) return;
  log_warn("cache: %s was replaced by a process that failed; it is removed, and the cache is in memory only",
           kept->path);
  unlink(kept->path);
}

void kept_caches_disown(struct registry *registry) {
  unsigned count;
  struct registry_entry **entries = registry_hold_all(registry, cache_kind.name, &count);
  for (unsigned i = 0; i < count; i++) {
    disown(registry_object(entries[i]));
    registry_release(registry, entries[i]);
  }
  free(entries);
}

const struct registry_kind cache_kind = {"cache", make, release, fits, in_force};
