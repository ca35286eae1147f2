// SPDX-License-Identifier: Apache-2.0
// inflight: shards of hash tables whose entries exist while their count is more than 0. Entries that are no longer
// needed stay in their shard for the next key, so that none is allocated in the steady state. All shards share one
// limit, so that no key is refused while there is room, however uneven the hash is.
#include "shared/inflight.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <xxhash.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/random.h"

enum { SHARDS = 64 };
#define INFLIGHT_MAGIC 0x14f119f7u

/* Its key is the hash of what was given. */
struct entry {
  struct entry *next; /* in its bucket, or among the spare ones */
  uint64_t key;
  int64_t count; /* more than 0 in a bucket */
};

struct shard {
  pthread_mutex_t lock;
  struct entry **buckets; /* owned, as the entries in them */
  struct entry *spare;    /* owned */
};

struct inflight {
  OBJ_MAGIC;
  uint64_t seed, bucket_mask;
  unsigned keys;
  _Atomic unsigned used, made; /* entries in buckets; in all */
  _Atomic uint64_t uncounted;
  struct shard shards[SHARDS];
};

struct inflight *inflight_new(unsigned keys) {
  struct inflight *i = memory_zalloc(sizeof *i);
  uint64_t buckets = 1;
  while (buckets * SHARDS < keys) buckets *= 2;
  i->keys = keys;
  i->bucket_mask = buckets - 1;
  if (!random_fill(&i->seed, sizeof i->seed, 0)) abort(); /* eight bytes are never short */
  for (int n = 0; n < SHARDS; n++) {
    pthread_mutex_init(&i->shards[n].lock, NULL);
    i->shards[n].buckets = memory_zalloc(buckets * sizeof *i->shards[n].buckets);
  }
  OBJ_INIT(i, INFLIGHT_MAGIC);
  return i;
}

static void free_chain(struct entry *entry) {
  while (entry) {
    struct entry *next = entry->next;
    free(entry);
    entry = next;
  }
}

void inflight_free(struct inflight *i) {
  if (!i) return;
  CHECK_OBJ(i, INFLIGHT_MAGIC);
  for (int n = 0; n < SHARDS; n++) {
    for (uint64_t bucket = 0; bucket <= i->bucket_mask; bucket++) free_chain(i->shards[n].buckets[bucket]);
    free_chain(i->shards[n].spare);
    free(i->shards[n].buckets);
    pthread_mutex_destroy(&i->shards[n].lock);
  }
  OBJ_END(i, INFLIGHT_MAGIC);
  free(i);
}

unsigned inflight_keys(const struct inflight *i) { return i->keys; }
uint64_t inflight_uncounted(const struct inflight *i) { return i->uncounted; }

size_t inflight_bytes(const struct inflight *i) {
  size_t buckets = SHARDS * (i->bucket_mask + 1) * sizeof(struct entry *);
  return sizeof *i + buckets + i->made * sizeof(struct entry);
}

/* --- entries, locked ----------------------------------------------------------------------------------- */

static uint64_t hash_of(const struct inflight *i, struct str key) {
  return XXH3_64bits_withSeed(key.ptr, key.len, i->seed);
}

static struct shard *enter(struct inflight *i, uint64_t key) {
  CHECK_OBJ(i, INFLIGHT_MAGIC);
  struct shard *shard = &i->shards[key % SHARDS];
  pthread_mutex_lock(&shard->lock);
  return shard;
}

/* Where the entry of the key hangs, or would. */
static struct entry **find(const struct inflight *i, struct shard *shard, uint64_t key) {
  struct entry **at = &shard->buckets[(key / SHARDS) & i->bucket_mask];
  while (*at && (*at)->key != key) at = &(*at)->next;
  return at;
}

/* Is there a place for another key? Then it is taken. */
static bool takes_place(struct inflight *i) {
  unsigned used = atomic_load_explicit(&i->used, memory_order_relaxed);
  while (used < i->keys)
    if (atomic_compare_exchange_weak_explicit(&i->used, &used, used + 1, memory_order_relaxed,
                                              memory_order_relaxed))
      return true;
  return false;
}

static struct entry *add(struct inflight *i, struct shard *shard, struct entry **at, uint64_t key) {
  struct entry *entry = shard->spare;
  if (entry) {
    shard->spare = entry->next;
  } else {
    entry = memory_alloc(sizeof *entry);
    atomic_fetch_add_explicit(&i->made, 1, memory_order_relaxed);
  }
  *entry = (struct entry){.key = key, .next = *at};
  *at = entry;
  return entry;
}

/* Spare entries are kept while all that were made are within the bound. */
static void take_out(struct inflight *i, struct shard *shard, struct entry **at) {
  struct entry *entry = *at;
  CHECK(entry->count == 0);
  *at = entry->next;
  atomic_fetch_sub_explicit(&i->used, 1, memory_order_relaxed);
  if (atomic_load_explicit(&i->made, memory_order_relaxed) > i->keys) {
    atomic_fetch_sub_explicit(&i->made, 1, memory_order_relaxed);
    free(entry);
    return;
  }
  entry->next = shard->spare;
  shard->spare = entry;
}

/* --- counting ------------------------------------------------------------------------------------------ */

int64_t inflight_acquire(struct inflight *i, struct str key, int64_t max, struct inflight_hold *hold) {
  *hold = (struct inflight_hold){.key = hash_of(i, key)};
  struct shard *shard = enter(i, hold->key);
  struct entry **at = find(i, shard, hold->key), *entry = *at;
  int64_t count = entry ? entry->count + 1 : 1;
  bool passes = count <= max;
  hold->is_counted = passes && (entry || takes_place(i));
  if (hold->is_counted && !entry) entry = add(i, shard, at, hold->key);
  if (hold->is_counted) entry->count = count;
  pthread_mutex_unlock(&shard->lock);
  if (!passes) return -(count - 1);
  if (!hold->is_counted) atomic_fetch_add_explicit(&i->uncounted, 1, memory_order_relaxed);
  return count;
}

void inflight_release(struct inflight *i, struct inflight_hold *hold) {
  if (!hold->is_counted) return;
  hold->is_counted = false;
  struct shard *shard = enter(i, hold->key);
  struct entry **at = find(i, shard, hold->key);
  CHECK(*at && (*at)->count > 0);
  if (--(*at)->count == 0) take_out(i, shard, at);
  pthread_mutex_unlock(&shard->lock);
}

int64_t inflight_count(struct inflight *i, struct str key) {
  uint64_t hash = hash_of(i, key);
  struct shard *shard = enter(i, hash);
  struct entry *const *at = find(i, shard, hash);
  int64_t count = *at ? (*at)->count : 0;
  pthread_mutex_unlock(&shard->lock);
  return count;
}
