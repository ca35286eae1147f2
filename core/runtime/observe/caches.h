// SPDX-License-Identifier: Apache-2.0
// caches: the caches of the policy in force, as status and metrics show them.
#ifndef PERILUNE_RUNTIME_CACHES_H
#define PERILUNE_RUNTIME_CACHES_H

#include <stdint.h>
#include <stdio.h>

#include "base/str.h"
#include "shared/cache.h"
#include "shared/store.h"

struct json;
struct registry;

struct cache_report {
  struct str name; /* borrowed for the call */
  size_t bytes;
  unsigned fills; /* responses that are on their way */
  struct {
#define X(name) uint64_t name;
    CACHE_FIGURES(X)
#undef X
  } figures;
  struct store_counts store;
};

/* Calls `each` for every cache. Thread-safe. */
void caches_read(struct registry *registry, void (*each)(const struct cache_report *report, void *context),
                 void *context);
/* Of the requests that the cache has taken, how many it answered without waiting for a peer; 0 to 1. */
double cache_hit_ratio(const struct cache_report *report);

/* For `perilune status`, a line for each; for status.json, an array; and for Prometheus. */
void caches_put_text(FILE *out, struct registry *registry);
void caches_put_json(struct json *j, struct registry *registry);
void caches_put_metrics(FILE *out, struct registry *registry);

#endif
