// SPDX-License-Identifier: Apache-2.0
// tls_cache: a hash table whose entries are also in a list by last use. Removed entries are released after the lock,
// since a release may free a key.
#include "net/tls_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <xxhash.h>

#include "base/list.h"
#include "base/memory.h"
#include "net/tls_identity.h"

enum { BUCKETS = 256 };

struct entry {
  struct list use;               /* in cache->entries: the newest first */
  struct entry *next;            /* in its bucket */
  struct tls_identity *identity; /* reference */
  time_t until_s;                /* monotonic */
  uint64_t hash;
  size_t length;
  char name[];
};

struct tls_cache {
  pthread_mutex_t lock; /* held for some instructions */
  struct list entries;
  struct entry *buckets[BUCKETS];
  unsigned count, most;
};

static time_t now_s(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return now.tv_sec;
}

struct tls_cache *tls_cache_new(unsigned most) {
  struct tls_cache *cache = memory_zalloc(sizeof *cache);
  pthread_mutex_init(&cache->lock, NULL);
  list_init(&cache->entries);
  cache->most = most;
  return cache;
}

static struct entry **find(struct tls_cache *cache, struct str name, uint64_t hash) {
  struct entry **at = &cache->buckets[hash % BUCKETS];
  while (*at && ((*at)->hash != hash || !str_equal((struct str){(*at)->name, (*at)->length}, name)))
    at = &(*at)->next;
  return at;
}

static struct entry *take_out(struct tls_cache *cache, struct entry **at) {
  struct entry *entry = *at;
  if (!entry) return NULL;
  *at = entry->next;
  list_remove(&entry->use);
  cache->count--;
  return entry;
}

static void dispose(struct entry *entry) {
  if (!entry) return;
  tls_identity_release(entry->identity);
  free(entry);
}

struct tls_identity *tls_cache_get(struct tls_cache *cache, struct str name) {
  uint64_t hash = XXH3_64bits(name.ptr, name.len);
  struct tls_identity *identity = NULL;
  struct entry *old = NULL;
  pthread_mutex_lock(&cache->lock);
  struct entry **at = find(cache, name, hash), *entry = *at;
  if (entry && entry->until_s <= now_s()) {
    old = take_out(cache, at);
  } else if (entry) {
    list_remove(&entry->use);
    list_push_front(&cache->entries, &entry->use);
    identity = tls_identity_hold(entry->identity);
  }
  pthread_mutex_unlock(&cache->lock);
  dispose(old);
  return identity;
}

void tls_cache_put(struct tls_cache *cache, struct str name, struct tls_identity *identity, unsigned ttl_s) {
  struct entry *entry = memory_alloc(sizeof *entry + name.len), *excess = NULL;
  entry->identity = tls_identity_hold(identity);
  entry->until_s = now_s() + ttl_s;
  entry->hash = XXH3_64bits(name.ptr, name.len);
  entry->length = name.len;
  memcpy(entry->name, name.ptr, name.len);
  pthread_mutex_lock(&cache->lock);
  struct entry *old = take_out(cache, find(cache, name, entry->hash));
  if (cache->count == cache->most) {
    const struct entry *last = LIST_ENTRY(cache->entries.prev, struct entry, use);
    excess = take_out(cache, find(cache, (struct str){last->name, last->length}, last->hash));
  }
  struct entry **bucket = &cache->buckets[entry->hash % BUCKETS];
  entry->next = *bucket;
  *bucket = entry;
  list_push_front(&cache->entries, &entry->use);
  cache->count++;
  pthread_mutex_unlock(&cache->lock);
  dispose(old);
  dispose(excess);
}

void tls_cache_free(struct tls_cache *cache) {
  if (!cache) return;
  LIST_EACH(node, &cache->entries) dispose(LIST_ENTRY(node, struct entry, use));
  pthread_mutex_destroy(&cache->lock);
  free(cache);
}
