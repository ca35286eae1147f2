// SPDX-License-Identifier: Apache-2.0
// limits: visits the tables of the registry, one kind after another.
#include "runtime/observe/limits.h"

#include <stdlib.h>

#include "shared/counts.h"
#include "shared/inflight.h"
#include "shared/limiter.h"
#include "shared/quota.h"
#include "shared/registry.h"

static void read_counts(void *object, struct limits_entry *entry) {
  entry->kind = "window";
  entry->keys = counts_keys(object);
  entry->bytes = counts_bytes(object);
  entry->overflowed = counts_forgotten(object);
}

static void read_limiter(void *object, struct limits_entry *entry) {
  const struct limiter_rules *rules = limiter_rules(object);
  entry->kind = rules->kind == LIMITER_BUCKET ? "bucket" : "sliding";
  entry->keys = rules->keys;
  entry->bytes = limiter_bytes(object);
  entry->overflowed = limiter_forgotten(object);
}

static void read_quota(void *object, struct limits_entry *entry) {
  entry->kind = "cluster";
  entry->keys = quota_rules(object)->keys;
  entry->bytes = quota_bytes(object);
  entry->overflowed = quota_lost(object);
}

static void read_inflight(void *object, struct limits_entry *entry) {
  entry->kind = "concurrency";
  entry->keys = inflight_keys(object);
  entry->bytes = inflight_bytes(object);
  entry->overflowed = inflight_uncounted(object);
}

static const struct {
  const char *kind; /* of the registry */
  void (*read)(void *object, struct limits_entry *entry);
} kinds[] = {
    {"counts", read_counts}, {"limiter", read_limiter}, {"quota", read_quota}, {"inflight", read_inflight}};

void limits_read(struct registry *registry, void (*each)(const struct limits_entry *entry, void *context),
                 void *context) {
  for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++) {
    unsigned count;
    struct registry_entry **entries = registry_hold_all(registry, kinds[kind].kind, &count);
    for (unsigned i = 0; i < count; i++) {
      struct limits_entry entry = {.name = registry_name(entries[i])};
      kinds[kind].read(registry_object(entries[i]), &entry);
      each(&entry, context);
      registry_release(registry, entries[i]);
    }
    free(entries);
  }
}
