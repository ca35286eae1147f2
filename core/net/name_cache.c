// SPDX-License-Identifier: Apache-2.0
// name_cache: a hash table with a list by last use. An entry that was dropped while it is still held is in neither.
#include "net/name_cache.h"

#include <stdlib.h>
#include <xxhash.h>

#include "base/memory.h"

void name_cache_init(struct name_cache *cache, void *owner) {
  *cache = (struct name_cache){.owner = owner};
  list_init(&cache->recent);
}

static struct cached_name *new_name(struct name_cache *cache, const char *text, uint64_t hash) {
  static const enum dns_type types[SET_TYPES] = {DNS_A, DNS_AAAA, DNS_SRV};
  size_t bytes = strlen(text) + 1;
  struct cached_name *name = memory_zalloc(sizeof *name + bytes);
  memcpy(name->text, text, bytes);
  name->owner = cache->owner;
  name->hash = hash;
  list_init(&name->recency);
  for (int i = 0; i < SET_TYPES; i++) {
    name->sets[i].name = name;
    name->sets[i].type = types[i];
    list_init(&name->sets[i].waiters);
  }
  OBJ_INIT(name, CACHED_NAME_MAGIC);
  return name;
}

static void free_name(struct cached_name *name) {
  CHECK_OBJ(name, CACHED_NAME_MAGIC);
  CHECK(name->holds == 0);
  for (int i = 0; i < SET_TYPES; i++) {
    CHECK(list_is_empty(&name->sets[i].waiters) && !name->sets[i].is_asked);
    dns_records_clear(&name->sets[i].records);
  }
  OBJ_END(name, CACHED_NAME_MAGIC);
  free(name);
}

static void take_out(struct name_cache *cache, struct cached_name *name) {
  struct cached_name **at = &cache->buckets[name->hash % NAME_BUCKETS];
  while (*at != name) at = &(*at)->next;
  *at = name->next;
  list_remove(&name->recency);
  cache->count--;
}

/* More are in use at once only while more are asked for at once. */
static void make_room(struct name_cache *cache) {
  struct list *node = cache->recent.prev;
  while (cache->count >= NAME_CACHE_MOST && node != &cache->recent) {
    struct cached_name *name = LIST_ENTRY(node, struct cached_name, recency);
    node = node->prev;
    if (name->holds) continue;
    take_out(cache, name);
    free_name(name);
  }
}

struct cached_name *name_cache_get(struct name_cache *cache, const char *text) {
  uint64_t hash = XXH3_64bits(text, strlen(text));
  struct cached_name **bucket = &cache->buckets[hash % NAME_BUCKETS], *name = *bucket;
  while (name && (name->hash != hash || strcmp(name->text, text) != 0)) name = name->next;
  if (!name) {
    make_room(cache);
    name = new_name(cache, text, hash);
    name->next = *bucket;
    *bucket = name;
    cache->count++;
  }
  CHECK_OBJ(name, CACHED_NAME_MAGIC);
  list_remove(&name->recency);
  list_push_front(&cache->recent, &name->recency);
  name_cache_hold(name);
  return name;
}

void name_cache_hold(struct cached_name *name) { name->holds++; }

void name_cache_release(struct cached_name *name) {
  CHECK_OBJ(name, CACHED_NAME_MAGIC);
  CHECK(name->holds > 0);
  bool is_dropped = list_is_empty(&name->recency);
  if (--name->holds == 0 && is_dropped) free_name(name);
}

void name_cache_drop(struct name_cache *cache) {
  while (!list_is_empty(&cache->recent)) {
    struct cached_name *name = LIST_ENTRY(cache->recent.next, struct cached_name, recency);
    take_out(cache, name);
    if (name->holds == 0) free_name(name);
  }
}
