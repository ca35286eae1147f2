// SPDX-License-Identifier: Apache-2.0
// dict_parts: what the files of shared/dict share with each other, and with no other file. The hard problem is to hold
// a lock only briefly while entries come and go: a new entry is made before, and removed entries are collected and
// freed after.
#ifndef PERILUNE_SHARED_DICT_PARTS_H
#define PERILUNE_SHARED_DICT_PARTS_H

#include <pthread.h>

#include "base/list.h"
#include "shared/dict.h"

enum { MALLOC_COST = 16 };

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

/* dict_entry.c: what its name says of one entry; all but the first three under the lock. */
struct visit dict_visit(struct dict *d, struct str key);
struct entry *entry_new(const struct visit *v, const struct dict_value *value, uint64_t ttl_ms);
/* What malloc takes for so many bytes: rounded up, and its own header. */
static inline size_t malloc_cost(size_t bytes) { return ((bytes + 15) & ~(size_t)15) + MALLOC_COST; }
size_t entry_cost(size_t key_bytes, const struct dict_value *value);
static inline struct str entry_key(const struct entry *entry) {
  return (struct str){entry->text, entry->key_bytes};
}
static inline bool entry_is_expired(const struct visit *v, const struct entry *entry) {
  return entry->expires_ms && entry->expires_ms <= clock_now_ms(v->dict->clock);
}
static inline void dict_enter(struct visit *v) { pthread_mutex_lock(&v->shard->lock); }
/* Frees what has left. */
void dict_leave(struct visit *v);
/* The entry that has the key, now the most recently used one; NULL: none, or it has expired. */
struct entry *dict_find(struct visit *v);
/* The same, expired or not, and not counted as a use. */
struct entry *dict_find_any(const struct visit *v);
struct entry *dict_oldest(const struct visit *v);
void dict_take_out(struct visit *v, struct entry *entry);
/* Removes what is oldest for `cost` bytes. False, if it spares what lives: there is no room. */
bool dict_make_room(struct visit *v, size_t cost, struct dict_put *how);
void dict_put_in(struct visit *v, struct entry *entry);
/* A value for somebody outside: its string is copied into `text`. */
void dict_copy_out(struct dict_value *value, struct buf *text);

/* dict_list.c */
size_t dict_list_bytes(const struct dict_list *list);
void dict_list_free(struct dict_list *list);

#endif
