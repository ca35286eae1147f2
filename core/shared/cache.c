// SPDX-License-Identifier: Apache-2.0
// cache: tables beside the store. Fills are few and in a list for each place of a small table; refusals are an array of
// words whose place is the hash of the key: a collision costs a store.
#include "shared/cache.h"

#include <stdlib.h>

#include <xxhash.h>

#include "base/memory.h"
#include "shared/chores.h"

enum { BUCKETS = 256, REFUSALS = 4096, PURGINGS = 16, FORMAT = 2, TICK_MS = 256 };

struct bucket {
  pthread_mutex_t lock;
  struct fill *first;
};

struct cache {
  atomic_uint refs;
  size_t bytes;
  const struct clock *clock;   /* borrowed */
  struct store *store;         /* owned */
  struct chores *chores;       /* owned */
  atomic_uint fills;           /* listed */
  _Atomic uint64_t *refusals;  /* owned: upper half of the hash, and until when, in ticks */
  struct purge_table *purges;  /* in the store */
  struct purge_outbox *outbox; /* owned */
  bool is_file;
  uint64_t inherited; /* number of the purges when this process began with the store */
  pthread_mutex_t purging[PURGINGS];
  struct cache_figures figures;
  struct bucket buckets[BUCKETS];
};

/* Whatever another process has stored has a lower number from now on than it had. */
static void take_purges(struct cache *c) {
  c->purges = purges_init(store_extra(c->store), c->bytes);
  if (!store_is_inherited(c->store)) return;
  purges_begin_again(c->purges);
  c->inherited = purges_number(c->purges);
}

struct cache *cache_new(const struct cache_config *config, const char **why) {
  size_t bytes = config->bytes;
  struct store_settings settings = {
      .bytes = bytes, .extra_bytes = purges_bytes(bytes), .path = config->path, .format = FORMAT};
  settings.has_predecessor = config->has_predecessor;
  settings.predecessor = config->predecessor;
  struct store *store = store_new(&settings, why);
  if (!store) return NULL;
  struct cache *c = memory_zalloc(sizeof *c);
  atomic_init(&c->refs, 1);
  c->bytes = bytes;
  c->clock = config->clock ? config->clock : &clock_system;
  c->store = store;
  c->chores = chores_new("cache");
  c->refusals = memory_zalloc(REFUSALS * sizeof *c->refusals);
  c->is_file = config->path != NULL;
  take_purges(c);
  c->outbox = purge_outbox_new();
  for (unsigned i = 0; i < PURGINGS; i++) pthread_mutex_init(&c->purging[i], NULL);
  for (unsigned i = 0; i < BUCKETS; i++) pthread_mutex_init(&c->buckets[i].lock, NULL);
  return c;
}

struct cache *cache_hold(struct cache *c) {
  atomic_fetch_add(&c->refs, 1);
  return c;
}

void cache_release(struct cache *c) {
  if (!c || atomic_fetch_sub(&c->refs, 1) != 1) return;
  chores_free(c->chores);
  for (unsigned i = 0; i < BUCKETS; i++) {
    CHECK(!c->buckets[i].first);
    pthread_mutex_destroy(&c->buckets[i].lock);
  }
  store_free(c->store);
  purge_outbox_free(c->outbox);
  free((void *)(uintptr_t)c->refusals);
  for (unsigned i = 0; i < PURGINGS; i++) pthread_mutex_destroy(&c->purging[i]);
  free(c);
}

size_t cache_bytes(const struct cache *c) { return c->bytes; }
struct store *cache_store(struct cache *c) {
  return c->store;
}
struct purge_outbox *cache_outbox(struct cache *c) {
  return c->outbox;
}
struct chores *cache_chores(struct cache *c) {
  return c->chores;
}
uint64_t cache_now_ms(const struct cache *c) { return clock_now_ms(c->clock); }
struct cache_figures *cache_figures(struct cache *c) {
  return &c->figures;
}

static uint64_t hash_of(struct str key) { return XXH3_64bits(key.ptr, key.len); }

/* --- fills ------------------------------------------------------------------------------------------------ */

static struct bucket *bucket_of(struct cache *c, struct str key) {
  return &c->buckets[hash_of(key) % BUCKETS];
}

static struct fill *find(struct bucket *b, struct str key) {
  struct fill *f = b->first;
  while (f && !str_equal(f->key, key)) f = f->next;
  return f;
}

static struct fill *list_new(struct cache *c, struct bucket *b, struct str key) {
  struct fill *f = fill_new(c, key, cache_now_ms(c));
  f->next = b->first;
  f->is_listed = true;
  b->first = f;
  atomic_fetch_add(&c->fills, 1);
  return f;
}

enum cache_join cache_join(struct cache *c, struct str key, struct fill_seat *seat, struct fill **fill) {
  struct bucket *b = bucket_of(c, key);
  pthread_mutex_lock(&b->lock);
  struct fill *f = find(b, key);
  enum cache_join result = f ? CACHE_WAITS : CACHE_FILLS;
  if (!f) f = list_new(c, b, key);
  *fill = fill_hold(f);
  fill_sit(f, seat);
  pthread_mutex_unlock(&b->lock);
  return result;
}

bool cache_is_filling(struct cache *c, struct str key) {
  struct bucket *b = bucket_of(c, key);
  pthread_mutex_lock(&b->lock);
  bool is_filling = find(b, key) != NULL;
  pthread_mutex_unlock(&b->lock);
  return is_filling;
}

struct fill *cache_fill_alone(struct cache *c, struct str key, struct fill_seat *seat) {
  struct fill *f = fill_new(c, key, cache_now_ms(c));
  fill_sit(f, seat);
  return f;
}

void cache_unlist(struct cache *c, struct fill *fill) {
  struct bucket *b = bucket_of(c, fill->key);
  pthread_mutex_lock(&b->lock);
  bool was_listed = fill->is_listed;
  if (was_listed) {
    struct fill **at = &b->first;
    while (*at != fill) at = &(*at)->next;
    *at = fill->next;
    fill->is_listed = false;
    atomic_fetch_sub(&c->fills, 1);
  }
  pthread_mutex_unlock(&b->lock);
  if (was_listed) fill_release(fill);
}

unsigned cache_fills(struct cache *c) { return atomic_load(&c->fills); }

/* --- refusals --------------------------------------------------------------------------------------------- */

static uint32_t tick_of(uint64_t ms) { return (uint32_t)(ms / TICK_MS); }

void cache_remember_refusal(struct cache *c, struct str key, uint64_t ttl_ms) {
  uint64_t hash = hash_of(key), until = tick_of(cache_now_ms(c) + ttl_ms);
  atomic_store_explicit(&c->refusals[hash % REFUSALS], (hash & ~(uint64_t)UINT32_MAX) | until,
                        memory_order_relaxed);
}

void cache_forget_refusal(struct cache *c, struct str key) {
  uint64_t hash = hash_of(key);
  _Atomic uint64_t *at = &c->refusals[hash % REFUSALS];
  if (atomic_load_explicit(at, memory_order_relaxed) >> 32 == hash >> 32)
    atomic_store_explicit(at, 0, memory_order_relaxed);
}

bool cache_remembers_refusal(const struct cache *c, struct str key) {
  uint64_t hash = hash_of(key);
  uint64_t word = atomic_load_explicit(&c->refusals[hash % REFUSALS], memory_order_relaxed);
  return word >> 32 == hash >> 32 && (uint32_t)word > tick_of(cache_now_ms(c));
}

/* --- purges ----------------------------------------------------------------------------------------------- */

const struct purge_table *cache_purges(const struct cache *c) { return c->purges; }

void cache_hold_purges(struct cache *c, struct str key) {
  pthread_mutex_lock(&c->purging[hash_of(key) % PURGINGS]);
}

void cache_let_purges(struct cache *c, struct str key) {
  pthread_mutex_unlock(&c->purging[hash_of(key) % PURGINGS]);
}

/* What is published before, is removed; what would be published afterwards is not current then. */
bool cache_purge_key(struct cache *c, struct str key, bool is_soft) {
  struct store_lease lease;
  cache_count(c, purges, 1);
  cache_hold_purges(c, key);
  purges_add_key(c->purges, key, is_soft, clock_wall_ms());
  bool was_there = is_soft ? store_find(c->store, key, &lease) : store_remove(c->store, key);
  cache_let_purges(c, key);
  if (is_soft && was_there) store_release(c->store, &lease);
  return was_there;
}

void cache_purge_prefix(struct cache *c, struct str prefix, bool is_soft) {
  cache_count(c, purges, 1);
  purges_add_prefix(c->purges, prefix, is_soft, clock_wall_ms());
}

void cache_purge_tag(struct cache *c, uint64_t tag, bool is_soft) {
  cache_count(c, purges, 1);
  purges_add_tag(c->purges, tag, is_soft, clock_wall_ms());
}

void cache_purge_all(struct cache *c, bool is_soft) {
  cache_count(c, purges, 1);
  purges_add_all(c->purges, is_soft, clock_wall_ms());
}

void cache_keep_purges(struct cache *c) { store_sync_extra(c->store); }

bool cache_is_inherited(const struct cache *c, uint64_t number) { return number < c->inherited; }
bool cache_outlives_machine(const struct cache *c) { return c->is_file; }
