// SPDX-License-Identifier: Apache-2.0
// counts: a table of sets of entries. The hard problem is the change of the window: the window is one atomic word,
// which is read under the key's lock, so an entry never goes back to a window that is over. An entry of an older
// window is free.
#include "shared/counts.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <xxhash.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/random.h"

enum { WAYS = COUNTS_WAYS, LOCKS = 256 };
#define COUNTS_MAGIC 0xc0047e5u

/* Found by its key, which is the hash of what was given: of a million keys no two have the same but once in 10^7
 * cases. */
struct entry {
  uint32_t window; /* the one that it counts in, by its beginning */
  uint32_t count;
};

struct set {
  uint64_t keys[WAYS]; /* 0: free */
  struct entry entries[WAYS];
};

/* A cache line each: neighbours do not slow each other down. */
struct lock {
  pthread_mutex_t mutex;
  uint64_t forgotten; /* under the lock */
  char padding[64 - (sizeof(pthread_mutex_t) + sizeof(uint64_t)) % 64];
};

struct counts {
  OBJ_MAGIC;
  const struct clock *clock; /* borrowed */
  uint64_t seed, made_ms, interval_ms;
  uint64_t set_count;     /* a power of two */
  _Atomic uint64_t began; /* the current window: ms since made_ms, + 1 */
  unsigned keys;
  void *room;       /* owned */
  struct set *sets; /* in room, at a cache line */
  struct lock locks[LOCKS];
};

struct counts *counts_new(uint64_t interval_ms, unsigned keys, const struct clock *clock) {
  uint64_t sets = 1;
  struct counts *c = memory_zalloc(sizeof *c);
  while (sets * WAYS < 2 * (uint64_t)keys) sets *= 2;
  c->clock = clock;
  c->made_ms = clock_now_ms(clock);
  c->interval_ms = interval_ms ? interval_ms : 1;
  c->keys = keys;
  c->set_count = sets;
  c->room = memory_zalloc(sets * sizeof *c->sets + 64); /* no memory until a page of it is used */
  c->sets = (struct set *)(((uintptr_t)c->room + 63) & ~(uintptr_t)63);
  c->began = 1;
  if (!random_fill(&c->seed, sizeof c->seed, 0)) abort(); /* eight bytes are never short */
  for (int i = 0; i < LOCKS; i++) pthread_mutex_init(&c->locks[i].mutex, NULL);
  OBJ_INIT(c, COUNTS_MAGIC);
  return c;
}

void counts_free(struct counts *c) {
  if (!c) return;
  CHECK_OBJ(c, COUNTS_MAGIC);
  for (int i = 0; i < LOCKS; i++) pthread_mutex_destroy(&c->locks[i].mutex);
  free(c->room);
  OBJ_END(c, COUNTS_MAGIC);
  free(c);
}

uint64_t counts_interval_ms(const struct counts *c) { return c->interval_ms; }
unsigned counts_keys(const struct counts *c) { return c->keys; }
size_t counts_bytes(const struct counts *c) { return sizeof *c + c->set_count * sizeof *c->sets; }

uint64_t counts_forgotten(struct counts *c) {
  uint64_t sum = 0;
  for (int i = 0; i < LOCKS; i++) {
    pthread_mutex_lock(&c->locks[i].mutex);
    sum += c->locks[i].forgotten;
    pthread_mutex_unlock(&c->locks[i].mutex);
  }
  return sum;
}

/* --- one key, locked ----------------------------------------------------------------------------------- */

/* A key's set and lock, and the window. */
struct visit {
  uint64_t key;
  struct set *set;
  struct lock *lock;
  uint32_t window;
};

/* The window that runs, turned if it is time: of two that want to turn it one does. */
static uint32_t window_now(struct counts *c) {
  uint64_t now = clock_now_ms(c->clock) - c->made_ms + 1,
           began = atomic_load_explicit(&c->began, memory_order_relaxed);
  while (now >= began && now - began >= c->interval_ms)
    if (atomic_compare_exchange_weak_explicit(&c->began, &began, now, memory_order_relaxed,
                                              memory_order_relaxed))
      return (uint32_t)now;
  return (uint32_t)began;
}

static struct visit enter(struct counts *c, struct str key) {
  CHECK_OBJ(c, COUNTS_MAGIC);
  uint64_t hash = XXH3_64bits_withSeed(key.ptr, key.len, c->seed), set = (hash >> 20) & (c->set_count - 1);
  struct visit v = {.key = hash ? hash : 1, .set = &c->sets[set], .lock = &c->locks[set % LOCKS]};
  pthread_mutex_lock(&v.lock->mutex);
  v.window = window_now(c);
  return v;
}

static void leave(struct visit *v) { pthread_mutex_unlock(&v->lock->mutex); }

/* The count of a free entry is 0. */
static uint32_t count_of(const struct entry *entry, uint32_t window) {
  return entry->window == window ? entry->count : 0;
}

static struct entry *find(const struct visit *v) {
  for (int i = 0; i < WAYS; i++)
    if (v->set->keys[i] == v->key) return &v->set->entries[i];
  return NULL;
}

/* The place of the lowest count, those of other windows being none. */
static struct entry *take_over(const struct visit *v) {
  struct entry *lowest = v->set->entries;
  for (int i = 1; i < WAYS; i++)
    if (count_of(&v->set->entries[i], v->window) < count_of(lowest, v->window)) lowest = &v->set->entries[i];
  v->lock->forgotten += count_of(lowest, v->window) > 0;
  *lowest = (struct entry){.window = v->window};
  v->set->keys[lowest - v->set->entries] = v->key;
  return lowest;
}

uint64_t counts_add(struct counts *c, struct str key, uint32_t n) {
  struct visit v = enter(c, key);
  struct entry *entry = find(&v);
  if (!entry) entry = take_over(&v);
  uint32_t count = count_of(entry, v.window), sum;
  if (__builtin_add_overflow(count, n, &sum)) sum = UINT32_MAX;
  entry->window = v.window;
  entry->count = sum;
  CHECK(count_of(entry, v.window) == sum);
  leave(&v);
  return sum;
}

uint64_t counts_get(struct counts *c, struct str key) {
  struct visit v = enter(c, key);
  const struct entry *entry = find(&v);
  uint32_t count = entry ? count_of(entry, v.window) : 0;
  leave(&v);
  return count;
}
