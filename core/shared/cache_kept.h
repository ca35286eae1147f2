// SPDX-License-Identifier: Apache-2.0
// cache_kept: caches in the registry, by name.
#ifndef PERILUNE_SHARED_CACHE_KEPT_H
#define PERILUNE_SHARED_CACHE_KEPT_H

#include "shared/cache.h"
#include "shared/registry.h"

/* There is an object also where no cache could be made. */
struct kept_cache {
  size_t bytes;
  char *path;          /* owned; NULL: in memory */
  struct cache *cache; /* reference; NULL: there is none */
  const char *why;     /* there is none: a sentence */
  bool was_in_force;
};

/* A successor that has failed may have replaced files of ours: its files are removed, since nobody keeps them. */
void kept_caches_disown(struct registry *registry);

/* Of struct kept_cache, made from a struct cache_config. With another size or file it begins anew. */
extern const struct registry_kind cache_kind;

#endif
