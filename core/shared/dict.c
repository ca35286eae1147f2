// SPDX-License-Identifier: Apache-2.0
// dict: shards of hash tables with a least-recently-used list, and what concerns all entries. What is done with one
// is in dict_entry.c. The table of a shard has a fixed size, for its share of the bytes, so nothing is rehashed under
// the lock.
#include <pthread.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/random.h"
#include "shared/dict_parts.h"

enum { BYTES_MIN = 65536, SHARD_BYTES = 1 << 20, SHARDS_MAX = 16, BYTES_PER_BUCKET = 128 };

const char *dict_result_text(enum dict_result result) {
  static const char *const texts[] = {"ok",           "no such key",  "key exists",      "entry too large",
                                      "not a number", "no room left", "value is a list", "value not a list"};
  return texts[result];
}

/* --- the dict ---------------------------------------------------------------------------------------- */

static void shard_init(struct shard *shard, size_t bytes) {
  size_t buckets = 1;
  while (buckets * 2 * BYTES_PER_BUCKET <= bytes) buckets *= 2;
  shard->buckets = memory_zalloc(buckets * sizeof *shard->buckets);
  shard->bucket_mask = buckets - 1;
  shard->budget = bytes - buckets * sizeof *shard->buckets;
  pthread_mutex_init(&shard->lock, NULL);
  list_init(&shard->recent);
}

struct dict *dict_new(size_t bytes, const struct clock *clock) {
  if (bytes < BYTES_MIN) bytes = BYTES_MIN;
  unsigned shards = 1;
  while (shards < SHARDS_MAX && shards * 2 * (size_t)SHARD_BYTES <= bytes) shards *= 2;
  struct dict *d = memory_zalloc(sizeof *d + shards * sizeof d->shards[0]);
  d->clock = clock;
  d->bytes = bytes;
  d->shard_count = shards;
  if (!random_fill(&d->seed, sizeof d->seed, 0)) abort(); /* eight bytes are never short */
  for (unsigned i = 0; i < shards; i++) shard_init(&d->shards[i], bytes / shards);
  return d;
}

void dict_free(struct dict *d) {
  if (!d) return;
  dict_flush(d);
  for (unsigned i = 0; i < d->shard_count; i++) {
    free(d->shards[i].buckets);
    pthread_mutex_destroy(&d->shards[i].lock);
  }
  free(d);
}

size_t dict_bytes(const struct dict *d) { return d->bytes; }
size_t dict_entry_bytes_max(const struct dict *d) {
  return d->shards[0].budget - sizeof(struct entry) - 2 * MALLOC_COST;
}

size_t dict_used_bytes(struct dict *d) {
  size_t used = 0;
  for (unsigned i = 0; i < d->shard_count; i++) {
    struct shard *shard = &d->shards[i];
    pthread_mutex_lock(&shard->lock);
    used += shard->used + (shard->bucket_mask + 1) * sizeof *shard->buckets;
    pthread_mutex_unlock(&shard->lock);
  }
  return used;
}

/* --- all entries ------------------------------------------------------------------------------------- */

/* Appends length and text of each key; returns how many. */
static unsigned collect(struct dict *d, struct shard *shard, unsigned max, struct buf *keys) {
  struct visit v = {.dict = d, .shard = shard};
  unsigned count = 0;
  dict_enter(&v);
  LIST_EACH(node, &shard->recent) {
    const struct entry *entry = LIST_ENTRY(node, struct entry, recency);
    if (count == max) break;
    if (entry_is_expired(&v, entry)) continue;
    buf_append(keys, &entry->key_bytes, sizeof entry->key_bytes);
    buf_append_str(keys, entry_key(entry));
    count++;
  }
  dict_leave(&v);
  return count;
}

/* Slices in front, their text behind them in the same block. */
static struct str *unpack(struct str packed, unsigned count) {
  struct str *keys = memory_alloc(count * sizeof *keys + packed.len);
  char *text = (char *)(keys + count);
  for (unsigned i = 0; i < count; i++) {
    size_t length;
    memcpy(&length, packed.ptr, sizeof length);
    memcpy(text, packed.ptr + sizeof length, length);
    keys[i] = (struct str){text, length};
    text += length;
    packed = str_from(packed, sizeof length + length);
  }
  return keys;
}

struct str *dict_keys(struct dict *d, unsigned max, unsigned *count) {
  struct buf packed = {0};
  *count = 0;
  for (unsigned i = 0; i < d->shard_count; i++) *count += collect(d, &d->shards[i], max - *count, &packed);
  struct str *keys = unpack(*count ? buf_str(&packed) : STR(""), *count);
  buf_release(&packed);
  return keys;
}

void dict_flush(struct dict *d) {
  for (unsigned i = 0; i < d->shard_count; i++) {
    struct visit v = {.dict = d, .shard = &d->shards[i]};
    dict_enter(&v);
    while (dict_oldest(&v)) dict_take_out(&v, dict_oldest(&v));
    dict_leave(&v);
  }
}

unsigned dict_flush_expired(struct dict *d, unsigned max) {
  unsigned count = 0;
  for (unsigned i = 0; i < d->shard_count; i++) {
    struct visit v = {.dict = d, .shard = &d->shards[i]};
    dict_enter(&v);
    LIST_EACH(node, &v.shard->recent) {
      struct entry *entry = LIST_ENTRY(node, struct entry, recency);
      if (count == max) break;
      if (!entry_is_expired(&v, entry)) continue;
      dict_take_out(&v, entry);
      count++;
    }
    dict_leave(&v);
  }
  return count;
}

void dict_expire_all(struct dict *d) {
  uint64_t now_ms = clock_now_ms(d->clock);
  for (unsigned i = 0; i < d->shard_count; i++) {
    struct visit v = {.dict = d, .shard = &d->shards[i]};
    dict_enter(&v);
    LIST_EACH(node, &v.shard->recent) {
      struct entry *entry = LIST_ENTRY(node, struct entry, recency);
      if (!entry_is_expired(&v, entry)) entry->expires_ms = now_ms ? now_ms : 1; /* 0 would mean never */
    }
    dict_leave(&v);
  }
}
