// SPDX-License-Identifier: Apache-2.0
// dict: shards of hash tables with a least-recently-used list. The hard problem is to hold a lock only
// briefly while entries come and go: a new entry is made before, and removed entries are collected and freed
// after. The table of a shard has a fixed size, for its share of the bytes, so nothing is rehashed under the
// lock.
#include "shared/dict.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

#include <xxhash.h>

#include "base/list.h"
#include "base/memory.h"

enum { BYTES_MIN = 65536, SHARD_BYTES = 1 << 20, SHARDS_MAX = 16, BYTES_PER_BUCKET = 128, MALLOC_COST = 16 };

struct entry {
  struct list recency;       /* in shard.recent */
  struct entry *next;        /* in its bucket, or among the entries that leave */
  uint64_t hash, expires_ms; /* 0: never */
  struct dict_value value;   /* a string stands behind the key */
  size_t key_bytes;
  char text[]; /* key, string */
};

struct shard {
  pthread_mutex_t lock;
  struct list recent;               /* all entries, the most recently used first */
  struct entry **buckets;           /* owned, as the entries in it */
  size_t bucket_mask, used, budget; /* bytes of entries */
};

struct dict {
  const struct clock *clock; /* borrowed */
  uint64_t seed;
  size_t bytes;
  unsigned shard_count; /* a power of two */
  struct shard shards[];
};

/* What a call works on: the key's shard, locked, and the entries to free once it is unlocked. */
struct visit {
  struct dict *dict;
  struct shard *shard;
  struct str key;
  uint64_t hash;
  struct entry *leaving;
};

const char *dict_result_text(enum dict_result result) {
  static const char *const texts[] = {"ok", "no such key", "key exists", "entry too large", "not a number"};
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
  if (getrandom(&d->seed, sizeof d->seed, 0) != sizeof d->seed) abort(); /* eight bytes are never short */
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

/* --- entries ----------------------------------------------------------------------------------------- */

static size_t string_bytes(const struct dict_value *value) {
  return value->type == DICT_STRING ? value->string.len : 0;
}

/* What malloc takes for it: rounded up, and its own header. */
static size_t cost_of(size_t key_bytes, const struct dict_value *value) {
  return ((sizeof(struct entry) + key_bytes + string_bytes(value) + 15) & ~(size_t)15) + MALLOC_COST;
}

static struct str key_of(const struct entry *entry) { return (struct str){entry->text, entry->key_bytes}; }

static uint64_t later(uint64_t now_ms, uint64_t ttl_ms) {
  uint64_t sum;
  return __builtin_add_overflow(now_ms, ttl_ms, &sum) ? UINT64_MAX : sum;
}

static struct entry *entry_new(const struct visit *v, const struct dict_value *value, uint64_t ttl_ms) {
  size_t bytes = string_bytes(value);
  struct entry *entry = memory_alloc(sizeof *entry + v->key.len + bytes);
  entry->hash = v->hash;
  entry->expires_ms = ttl_ms ? later(clock_now_ms(v->dict->clock), ttl_ms) : 0;
  entry->value = *value;
  entry->key_bytes = v->key.len;
  if (v->key.len) memcpy(entry->text, v->key.ptr, v->key.len);
  if (bytes) memcpy(entry->text + v->key.len, value->string.ptr, bytes);
  if (value->type == DICT_STRING) entry->value.string.ptr = entry->text + v->key.len;
  return entry;
}

static void free_chain(struct entry *entry) {
  while (entry) {
    struct entry *next = entry->next;
    free(entry);
    entry = next;
  }
}

/* --- one shard, locked ------------------------------------------------------------------------------- */

static struct visit visit_of(struct dict *d, struct str key) {
  uint64_t hash = XXH3_64bits_withSeed(key.ptr, key.len, d->seed);
  struct shard *shard = &d->shards[(hash >> 48) & (d->shard_count - 1)]; /* buckets go by the low bits */
  return (struct visit){.dict = d, .shard = shard, .key = key, .hash = hash};
}

static void enter(struct visit *v) { pthread_mutex_lock(&v->shard->lock); }

static void leave(struct visit *v) {
  pthread_mutex_unlock(&v->shard->lock);
  free_chain(v->leaving);
}

static void take_out(struct visit *v, struct entry *entry) {
  struct entry **slot = &v->shard->buckets[entry->hash & v->shard->bucket_mask];
  while (*slot != entry) slot = &(*slot)->next;
  *slot = entry->next;
  list_remove(&entry->recency);
  v->shard->used -= cost_of(entry->key_bytes, &entry->value);
  entry->next = v->leaving;
  v->leaving = entry;
}

static bool is_expired(const struct visit *v, const struct entry *entry) {
  return entry->expires_ms && entry->expires_ms <= clock_now_ms(v->dict->clock);
}

/* The entry that has the key, now the most recently used one, or NULL. An expired one is taken out. */
static struct entry *find(struct visit *v) {
  struct entry *entry = v->shard->buckets[v->hash & v->shard->bucket_mask];
  while (entry && (entry->hash != v->hash || !str_equal(key_of(entry), v->key))) entry = entry->next;
  if (!entry) return NULL;
  if (is_expired(v, entry)) {
    take_out(v, entry);
    return NULL;
  }
  list_remove(&entry->recency);
  list_push_front(&v->shard->recent, &entry->recency);
  return entry;
}

static struct entry *oldest(const struct visit *v) {
  if (list_is_empty(&v->shard->recent)) return NULL;
  return LIST_ENTRY(v->shard->recent.prev, struct entry, recency);
}

/* Two expired entries leave for each one that comes, so the dead do not pile up; then the oldest, as room is
 * needed. */
static void make_room(struct visit *v, size_t cost) {
  struct entry *last = oldest(v);
  for (int i = 0; i < 2 && last && is_expired(v, last); i++) {
    take_out(v, last);
    last = oldest(v);
  }
  while (v->shard->used + cost > v->shard->budget) take_out(v, oldest(v));
}

static void put_in(struct visit *v, struct entry *entry) {
  size_t cost = cost_of(entry->key_bytes, &entry->value);
  struct entry **bucket = &v->shard->buckets[v->hash & v->shard->bucket_mask];
  make_room(v, cost);
  entry->next = *bucket;
  *bucket = entry;
  list_push_front(&v->shard->recent, &entry->recency);
  v->shard->used += cost;
}

/* --- operations -------------------------------------------------------------------------------------- */

enum dict_result dict_get(struct dict *d, struct str key, struct dict_value *value, struct buf *text) {
  struct visit v = visit_of(d, key);
  enter(&v);
  const struct entry *entry = find(&v);
  if (entry) *value = entry->value;
  if (entry && value->type == DICT_STRING) {
    buf_consume(text, buf_len(text));
    buf_append_str(text, value->string);
    value->string = value->string.len ? buf_str(text) : STR("");
  }
  leave(&v);
  return entry ? DICT_OK : DICT_ABSENT;
}

static bool is_too_large(const struct visit *v, const struct dict_value *value) {
  return cost_of(v->key.len, value) > v->shard->budget;
}

enum dict_result dict_set(struct dict *d, struct str key, const struct dict_value *value, uint64_t ttl_ms) {
  struct visit v = visit_of(d, key);
  if (is_too_large(&v, value)) return DICT_TOO_LARGE;
  struct entry *fresh = entry_new(&v, value, ttl_ms);
  enter(&v);
  struct entry *old = find(&v);
  if (old) take_out(&v, old);
  put_in(&v, fresh);
  leave(&v);
  return DICT_OK;
}

enum dict_result dict_add(struct dict *d, struct str key, const struct dict_value *value, uint64_t ttl_ms) {
  struct visit v = visit_of(d, key);
  if (is_too_large(&v, value)) return DICT_TOO_LARGE;
  struct entry *fresh = entry_new(&v, value, ttl_ms);
  enter(&v);
  bool is_absent = !find(&v);
  if (is_absent) put_in(&v, fresh);
  leave(&v);
  if (!is_absent) free(fresh);
  return is_absent ? DICT_OK : DICT_EXISTS;
}

/* An absent key's entry is made under the lock here: it is small, and most calls need none. */
static enum dict_result add_up(struct visit *v, double delta, const struct dict_start *start, double *sum) {
  struct entry *entry = find(v);
  if (!entry && !start) return DICT_ABSENT;
  if (entry && entry->value.type != DICT_NUMBER) return DICT_NOT_A_NUMBER;
  if (entry) {
    *sum = entry->value.number += delta;
    return DICT_OK;
  }
  struct dict_value value = {.type = DICT_NUMBER, .number = start->number + delta};
  if (is_too_large(v, &value)) return DICT_TOO_LARGE;
  put_in(v, entry_new(v, &value, start->ttl_ms));
  *sum = value.number;
  return DICT_OK;
}

enum dict_result dict_incr(struct dict *d, struct str key, double delta, const struct dict_start *start,
                           double *sum) {
  struct visit v = visit_of(d, key);
  enter(&v);
  enum dict_result result = add_up(&v, delta, start, sum);
  leave(&v);
  return result;
}

bool dict_delete(struct dict *d, struct str key) {
  struct visit v = visit_of(d, key);
  enter(&v);
  struct entry *entry = find(&v);
  bool is_there = entry != NULL;
  if (is_there) take_out(&v, entry);
  leave(&v);
  return is_there;
}

enum dict_result dict_ttl(struct dict *d, struct str key, uint64_t *left_ms) {
  struct visit v = visit_of(d, key);
  enter(&v);
  const struct entry *entry = find(&v);
  uint64_t expires_ms = entry ? entry->expires_ms : 0;
  leave(&v);
  uint64_t now_ms = expires_ms ? clock_now_ms(d->clock) : 0;
  *left_ms = expires_ms > now_ms ? expires_ms - now_ms : expires_ms ? 1 : 0; /* 0 would mean for ever */
  return entry ? DICT_OK : DICT_ABSENT;
}

/* --- all entries ------------------------------------------------------------------------------------- */

/* Appends length and text of each key; returns how many. */
static unsigned collect(struct dict *d, struct shard *shard, unsigned max, struct buf *keys) {
  struct visit v = {.dict = d, .shard = shard};
  unsigned count = 0;
  enter(&v);
  LIST_EACH(node, &shard->recent) {
    const struct entry *entry = LIST_ENTRY(node, struct entry, recency);
    if (count == max) break;
    if (is_expired(&v, entry)) continue;
    buf_append(keys, &entry->key_bytes, sizeof entry->key_bytes);
    buf_append_str(keys, key_of(entry));
    count++;
  }
  leave(&v);
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
    enter(&v);
    while (oldest(&v)) take_out(&v, oldest(&v));
    leave(&v);
  }
}
