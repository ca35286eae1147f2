// SPDX-License-Identifier: Apache-2.0
// store_index: where the object of a key is. A table of a fixed size: a key has one bucket of a few places. An entry
// whose segment was emptied is not removed: a lookup recognises it by its generation. What is removed or replaced is
// marked as dead in its record, too: the next process makes its index from the records (store_recover.c).
#include <stdlib.h>

#include <xxhash.h>

#include "base/memory.h"
#include "shared/store_parts.h"

uint64_t store_hash(struct str key) { return XXH3_64bits(key.ptr, key.len); }

/* Of everything in front of the body but this sum itself. */
uint64_t record_sum(const struct record *r) {
  struct str head = record_head(r);
  size_t from = offsetof(struct record, pieces);
  uint64_t numbers[] = {r->hash, r->key_bytes, r->head_bytes, r->room, r->count, r->body_bytes, r->serial};
  const char *end = head.ptr + head.len;
  return XXH3_64bits_withSeed((const char *)r + from, (size_t)(end - (const char *)r) - from,
                              XXH3_64bits(numbers, sizeof numbers));
}

static uint32_t power_of_two(size_t least) {
  uint32_t power = 1;
  while (power < least && power < UINT32_C(1) << 30) power *= 2;
  return power;
}

/* A quarter of the places may be empty. */
void index_init(struct store_index *index, size_t objects) {
  index->buckets = power_of_two(objects / STORE_SHARDS / (STORE_WAYS * 3 / 4) + 1);
  index->ghosts = power_of_two(objects * 2);
  index->ghost = memory_zalloc(index->ghosts * sizeof *index->ghost);
  for (unsigned i = 0; i < STORE_SHARDS; i++) {
    pthread_mutex_init(&index->shards[i].lock, NULL);
    index->shards[i].buckets = memory_zalloc(index->buckets * sizeof *index->shards[i].buckets);
  }
}

void index_free(struct store_index *index) {
  for (unsigned i = 0; i < STORE_SHARDS && index->ghost; i++) {
    pthread_mutex_destroy(&index->shards[i].lock);
    free(index->shards[i].buckets);
  }
  free((void *)(uintptr_t)index->ghost);
  index->ghost = NULL;
}

static struct index_shard *shard_of(struct store *s, uint64_t hash) {
  return &s->index.shards[hash % STORE_SHARDS];
}

static struct index_bucket *bucket_of(struct store *s, uint64_t hash) {
  return &shard_of(s, hash)->buckets[hash / STORE_SHARDS & (s->index.buckets - 1)];
}

static struct store_place place_of(const struct index_entry *e) {
  return (struct store_place){e->segment, e->offset * STORE_ALIGN, e->generation};
}

/* Its segment is pinned. */
static void bury(const struct store *s, struct store_place place) {
  struct record *r = (struct record *)segments_at(&s->segments, place.segment, place.offset);
  atomic_store_explicit(&r->kind, RECORD_DEAD, memory_order_relaxed);
}

/* With the lock held. The record of the entry, its segment pinned, if it is of that key. */
static const struct record *record_of(struct store *s, struct index_entry *e, uint64_t hash, struct str key) {
  if (!e->is_used || e->tag != hash >> 32) return NULL;
  struct store_place place = place_of(e);
  if (!segments_pin(&s->segments, place)) {
    e->is_used = false;
    return NULL;
  }
  const struct record *r = (const struct record *)segments_at(&s->segments, place.segment, place.offset);
  if (atomic_load_explicit(&r->kind, memory_order_relaxed) == RECORD_HEAD && r->hash == hash &&
      str_equal(record_key(r), key))
    return r;
  segments_unpin(&s->segments, place.segment);
  return NULL;
}

/* With the lock held. */
static struct index_entry *find(struct store *s, uint64_t hash, struct str key,
                                const struct record **record) {
  struct index_bucket *bucket = bucket_of(s, hash);
  for (unsigned i = 0; i < STORE_WAYS; i++)
    if ((*record = record_of(s, &bucket->ways[i], hash, key))) return &bucket->ways[i];
  return NULL;
}

const struct record *index_find(struct store *s, uint64_t hash, struct str key, struct store_place *place,
                                bool *is_unchecked) {
  struct index_shard *shard = shard_of(s, hash);
  const struct record *record = NULL;
  pthread_mutex_lock(&shard->lock);
  struct index_entry *e = find(s, hash, key, &record);
  if (e) *place = place_of(e);
  if (e) *is_unchecked = e->is_used == ENTRY_UNCHECKED;
  if (e && e->freq < STORE_FREQ_MOST) e->freq++;
  pthread_mutex_unlock(&shard->lock);
  return record;
}

/* Empty, dead, or the one that is used least. */
static struct index_entry *victim_of(struct store *s, struct index_bucket *bucket) {
  struct index_entry *victim = &bucket->ways[0];
  for (unsigned i = 0; i < STORE_WAYS; i++) {
    struct index_entry *e = &bucket->ways[i];
    if (!e->is_used || atomic_load(&s->segments.all[e->segment].generation) != e->generation) return e;
    if (e->freq < victim->freq) victim = e;
  }
  return victim;
}

static void set(struct index_entry *e, uint64_t hash, struct store_place place, unsigned freq) {
  *e = (struct index_entry){.tag = (uint32_t)(hash >> 32),
                            .offset = place.offset / STORE_ALIGN,
                            .generation = place.generation,
                            .segment = (uint16_t)place.segment,
                            .is_used = ENTRY_USED,
                            .freq = (uint8_t)freq};
}

void index_put(struct store *s, uint64_t hash, struct str key, struct store_place place) {
  struct index_shard *shard = shard_of(s, hash);
  const struct record *older = NULL;
  pthread_mutex_lock(&shard->lock);
  struct index_entry *e = find(s, hash, key, &older);
  if (e) {
    bury(s, place_of(e));
    segments_unpin(&s->segments, e->segment);
  } else {
    e = victim_of(s, bucket_of(s, hash));
  }
  set(e, hash, place, 0);
  pthread_mutex_unlock(&shard->lock);
}

void index_recover(struct store *s, const struct record *record, struct store_place place) {
  const struct record *older = NULL;
  struct index_entry *e = find(s, record->hash, record_key(record), &older);
  if (e) segments_unpin(&s->segments, e->segment);
  if (e && older->serial > record->serial) return;
  if (!e) e = victim_of(s, bucket_of(s, record->hash));
  set(e, record->hash, place, 0);
  e->is_used = ENTRY_UNCHECKED;
}

bool index_remove(struct store *s, uint64_t hash, struct str key) {
  struct index_shard *shard = shard_of(s, hash);
  const struct record *record = NULL;
  pthread_mutex_lock(&shard->lock);
  struct index_entry *e = find(s, hash, key, &record);
  if (e) {
    bury(s, place_of(e));
    segments_unpin(&s->segments, e->segment);
    e->is_used = false;
  }
  pthread_mutex_unlock(&shard->lock);
  return e != NULL;
}

/* With the lock held. Was it of a record of that hash? */
static bool remove_hash(struct store *s, struct index_entry *e, uint64_t hash) {
  if (!e->is_used || e->tag != hash >> 32) return false;
  struct store_place place = place_of(e);
  if (!segments_pin(&s->segments, place)) return false;
  const struct record *r = (const struct record *)segments_at(&s->segments, place.segment, place.offset);
  bool is_same = r->hash == hash;
  if (is_same) {
    bury(s, place);
    e->is_used = false;
  }
  segments_unpin(&s->segments, place.segment);
  return is_same;
}

bool store_remove_hash(struct store *s, uint64_t hash) {
  struct index_shard *shard = shard_of(s, hash);
  bool was_there = false;
  pthread_mutex_lock(&shard->lock);
  struct index_bucket *bucket = bucket_of(s, hash);
  for (unsigned i = 0; i < STORE_WAYS; i++) was_there |= remove_hash(s, &bucket->ways[i], hash);
  pthread_mutex_unlock(&shard->lock);
  return was_there;
}

/* With the lock held. */
static struct index_entry *entry_at(struct store *s, uint64_t hash, struct store_place place) {
  struct index_bucket *bucket = bucket_of(s, hash);
  for (unsigned i = 0; i < STORE_WAYS; i++) {
    struct index_entry *e = &bucket->ways[i];
    if (e->is_used && e->segment == place.segment && e->generation == place.generation &&
        e->offset == place.offset / STORE_ALIGN)
      return e;
  }
  return NULL;
}

int index_uses(struct store *s, uint64_t hash, struct store_place place) {
  struct index_shard *shard = shard_of(s, hash);
  pthread_mutex_lock(&shard->lock);
  const struct index_entry *e = entry_at(s, hash, place);
  int uses = e ? e->freq : -1;
  pthread_mutex_unlock(&shard->lock);
  return uses;
}

bool index_move(struct store *s, uint64_t hash, struct store_place from, struct store_place to,
                unsigned freq) {
  struct index_shard *shard = shard_of(s, hash);
  pthread_mutex_lock(&shard->lock);
  struct index_entry *e = entry_at(s, hash, from);
  bury(s, e ? from : to);
  if (e) set(e, hash, to, freq);
  pthread_mutex_unlock(&shard->lock);
  return e != NULL;
}

void index_mark_sound(struct store *s, uint64_t hash, struct store_place place) {
  struct index_shard *shard = shard_of(s, hash);
  pthread_mutex_lock(&shard->lock);
  struct index_entry *e = entry_at(s, hash, place);
  if (e) e->is_used = ENTRY_USED;
  pthread_mutex_unlock(&shard->lock);
}

void index_drop(struct store *s, uint64_t hash, struct store_place place) {
  struct index_shard *shard = shard_of(s, hash);
  pthread_mutex_lock(&shard->lock);
  struct index_entry *e = entry_at(s, hash, place);
  if (e) e->is_used = false;
  pthread_mutex_unlock(&shard->lock);
}

/* --- ghosts: a word for each, at the place that its hash says; the next one of that place takes it over --- */

static _Atomic uint32_t *ghost_of(struct store_index *index, uint64_t hash) {
  return &index->ghost[hash & (index->ghosts - 1)];
}
static uint32_t print_of(uint64_t hash) { return (uint32_t)(hash >> 32) | 1; }

void index_remember(struct store_index *index, uint64_t hash) {
  atomic_store_explicit(ghost_of(index, hash), print_of(hash), memory_order_relaxed);
}

bool index_remembers(struct store_index *index, uint64_t hash) {
  return atomic_load_explicit(ghost_of(index, hash), memory_order_relaxed) == print_of(hash);
}
