// SPDX-License-Identifier: Apache-2.0
// dict_entry: what is done with one entry of a dict, in its shard. Values go in and out as copies.
#include <stdlib.h>

#include <xxhash.h>

#include "base/memory.h"
#include "shared/dict_parts.h"

enum { LOOK_FOR_EXPIRED = 64 }; /* of the oldest entries, where nothing that lives may be removed */

/* --- entries ----------------------------------------------------------------------------------------- */

static size_t string_bytes(const struct dict_value *value) {
  return value->type == DICT_STRING ? value->string.len : 0;
}

size_t entry_cost(size_t key_bytes, const struct dict_value *value) {
  size_t apart = value->type == DICT_LIST ? dict_list_bytes(value->list) : 0;
  return malloc_cost(sizeof(struct entry) + key_bytes + string_bytes(value)) + apart;
}

static uint64_t later(uint64_t now_ms, uint64_t ttl_ms) {
  uint64_t sum;
  return __builtin_add_overflow(now_ms, ttl_ms, &sum) ? UINT64_MAX : sum;
}

struct entry *entry_new(const struct visit *v, const struct dict_value *value, uint64_t ttl_ms) {
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
    if (entry->value.type == DICT_LIST) dict_list_free(entry->value.list);
    free(entry);
    entry = next;
  }
}

/* --- one shard, locked ------------------------------------------------------------------------------- */

struct visit dict_visit(struct dict *d, struct str key) {
  uint64_t hash = XXH3_64bits_withSeed(key.ptr, key.len, d->seed);
  struct shard *shard = &d->shards[(hash >> 48) & (d->shard_count - 1)]; /* buckets go by the low bits */
  return (struct visit){.dict = d, .shard = shard, .key = key, .hash = hash};
}

void dict_leave(struct visit *v) {
  pthread_mutex_unlock(&v->shard->lock);
  free_chain(v->leaving);
}

void dict_take_out(struct visit *v, struct entry *entry) {
  struct entry **slot = &v->shard->buckets[entry->hash & v->shard->bucket_mask];
  while (*slot != entry) slot = &(*slot)->next;
  *slot = entry->next;
  list_remove(&entry->recency);
  v->shard->used -= entry_cost(entry->key_bytes, &entry->value);
  entry->next = v->leaving;
  v->leaving = entry;
}

struct entry *dict_find_any(const struct visit *v) {
  struct entry *entry = v->shard->buckets[v->hash & v->shard->bucket_mask];
  while (entry && (entry->hash != v->hash || !str_equal(entry_key(entry), v->key))) entry = entry->next;
  return entry;
}

struct entry *dict_find(struct visit *v) {
  struct entry *entry = dict_find_any(v);
  if (!entry || entry_is_expired(v, entry)) return NULL;
  list_remove(&entry->recency);
  list_push_front(&v->shard->recent, &entry->recency);
  return entry;
}

struct entry *dict_oldest(const struct visit *v) {
  if (list_is_empty(&v->shard->recent)) return NULL;
  return LIST_ENTRY(v->shard->recent.prev, struct entry, recency);
}

static bool has_room(const struct visit *v, size_t cost) { return v->shard->used + cost <= v->shard->budget; }

/* Of the oldest ones, those that have expired. */
static bool make_room_sparing(struct visit *v, size_t cost) {
  struct list *node = v->shard->recent.prev;
  for (int i = 0; i < LOOK_FOR_EXPIRED && node != &v->shard->recent && !has_room(v, cost); i++) {
    struct entry *entry = LIST_ENTRY(node, struct entry, recency);
    node = node->prev;
    if (entry_is_expired(v, entry)) dict_take_out(v, entry);
  }
  return has_room(v, cost);
}

/* Two expired entries leave for each one that comes, so the dead do not pile up; then the oldest, as room is
 * needed. */
bool dict_make_room(struct visit *v, size_t cost, struct dict_put *how) {
  struct entry *last = dict_oldest(v);
  for (int i = 0; i < 2 && last && entry_is_expired(v, last); i++) {
    dict_take_out(v, last);
    last = dict_oldest(v);
  }
  if (how->spares) return make_room_sparing(v, cost);
  while (!has_room(v, cost)) {
    last = dict_oldest(v);
    how->removed |= !entry_is_expired(v, last);
    dict_take_out(v, last);
  }
  return true;
}

void dict_put_in(struct visit *v, struct entry *entry) {
  struct entry **bucket = &v->shard->buckets[v->hash & v->shard->bucket_mask];
  entry->next = *bucket;
  *bucket = entry;
  list_push_front(&v->shard->recent, &entry->recency);
  v->shard->used += entry_cost(entry->key_bytes, &entry->value);
}

void dict_copy_out(struct dict_value *value, struct buf *text) {
  if (value->type != DICT_STRING) return;
  buf_clear(text);
  buf_append_str(text, value->string);
  value->string = value->string.len ? buf_str(text) : STR("");
}

/* --- operations -------------------------------------------------------------------------------------- */

static enum dict_result read_entry(const struct entry *entry, struct dict_value *value, struct buf *text) {
  if (!entry) return DICT_ABSENT;
  if (entry->value.type == DICT_LIST) return DICT_IS_A_LIST;
  *value = entry->value;
  dict_copy_out(value, text);
  return DICT_OK;
}

enum dict_result dict_get(struct dict *d, struct str key, struct dict_value *value, struct buf *text) {
  struct visit v = dict_visit(d, key);
  dict_enter(&v);
  enum dict_result result = read_entry(dict_find(&v), value, text);
  dict_leave(&v);
  return result;
}

enum dict_result dict_get_stale(struct dict *d, struct str key, struct dict_value *value, struct buf *text,
                                bool *is_stale) {
  struct visit v = dict_visit(d, key);
  dict_enter(&v);
  const struct entry *entry = dict_find_any(&v);
  *is_stale = entry && entry_is_expired(&v, entry);
  if (!*is_stale) entry = dict_find(&v);
  enum dict_result result = read_entry(entry, value, text);
  dict_leave(&v);
  return result;
}

static bool is_too_large(const struct visit *v, const struct dict_value *value) {
  return entry_cost(v->key.len, value) > v->shard->budget;
}

/* `old` leaves last: what is spared may not have been enough. */
static enum dict_result put(struct visit *v, struct entry *fresh, struct dict_put *how) {
  bool lives = dict_find(v) != NULL;
  if (how->when == DICT_IF_ABSENT && lives) return DICT_EXISTS;
  if (how->when == DICT_IF_PRESENT && !lives) return DICT_ABSENT;
  size_t cost = entry_cost(fresh->key_bytes, &fresh->value);
  struct entry *old = dict_find_any(v);
  size_t gained = old ? entry_cost(old->key_bytes, &old->value) : 0;
  bool fits = cost <= gained || dict_make_room(v, cost - gained, how);
  if (!fits) return DICT_FULL;
  old = dict_find_any(v); /* it may have made room itself */
  if (old) dict_take_out(v, old);
  if (how->spares && v->shard->used + cost > v->shard->budget) return DICT_FULL;
  dict_make_room(v, cost, how);
  dict_put_in(v, fresh);
  return DICT_OK;
}

enum dict_result dict_put(struct dict *d, struct str key, const struct dict_value *value,
                          struct dict_put *how) {
  struct visit v = dict_visit(d, key);
  if (is_too_large(&v, value)) return DICT_TOO_LARGE;
  struct entry *fresh = entry_new(&v, value, how->ttl_ms);
  dict_enter(&v);
  enum dict_result result = put(&v, fresh, how);
  dict_leave(&v);
  if (result != DICT_OK) free(fresh);
  return result;
}

/* An absent key's entry is made under the lock here: it is small, and most calls need none. */
static enum dict_result add_up(struct visit *v, double delta, const struct dict_start *start, double *sum) {
  struct entry *entry = dict_find(v);
  if (!entry && !start) return DICT_ABSENT;
  if (entry && entry->value.type != DICT_NUMBER) return DICT_NOT_A_NUMBER;
  if (entry) {
    *sum = entry->value.number += delta;
    return DICT_OK;
  }
  struct dict_value value = {.type = DICT_NUMBER, .number = start->number + delta};
  if (is_too_large(v, &value)) return DICT_TOO_LARGE;
  struct dict_put how = {.ttl_ms = start->ttl_ms};
  put(v, entry_new(v, &value, start->ttl_ms), &how);
  *sum = value.number;
  return DICT_OK;
}

enum dict_result dict_incr(struct dict *d, struct str key, double delta, const struct dict_start *start,
                           double *sum) {
  struct visit v = dict_visit(d, key);
  dict_enter(&v);
  enum dict_result result = add_up(&v, delta, start, sum);
  dict_leave(&v);
  return result;
}

enum dict_result dict_expire(struct dict *d, struct str key, uint64_t ttl_ms) {
  struct visit v = dict_visit(d, key);
  dict_enter(&v);
  struct entry *entry = dict_find(&v);
  if (entry) entry->expires_ms = ttl_ms ? later(clock_now_ms(d->clock), ttl_ms) : 0;
  dict_leave(&v);
  return entry ? DICT_OK : DICT_ABSENT;
}

bool dict_delete(struct dict *d, struct str key) {
  struct visit v = dict_visit(d, key);
  dict_enter(&v);
  struct entry *entry = dict_find_any(&v);
  bool is_there = entry && !entry_is_expired(&v, entry);
  if (entry) dict_take_out(&v, entry);
  dict_leave(&v);
  return is_there;
}

enum dict_result dict_ttl(struct dict *d, struct str key, uint64_t *left_ms) {
  struct visit v = dict_visit(d, key);
  dict_enter(&v);
  const struct entry *entry = dict_find(&v);
  uint64_t expires_ms = entry ? entry->expires_ms : 0;
  dict_leave(&v);
  uint64_t now_ms = expires_ms ? clock_now_ms(d->clock) : 0;
  *left_ms = expires_ms > now_ms ? expires_ms - now_ms : expires_ms ? 1 : 0; /* 0 would mean for ever */
  return entry ? DICT_OK : DICT_ABSENT;
}
