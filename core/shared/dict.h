// SPDX-License-Identifier: Apache-2.0
// dict: a dictionary shared by all workers, bounded in bytes. When it is full, the least recently used
// entries are removed, so storing fails only for an entry that is too large by itself. Keys are any bytes.
// An expired entry is absent, but lies there until something takes its place: dict_get_stale sees it. A value can be a
// list of strings and numbers, which is a queue; lists remove nothing that lives.
// Thread-safe: it is split into shards by key, each with its own lock; while a lock is held, nothing is freed
// and no new value is copied.
#ifndef PERILUNE_SHARED_DICT_H
#define PERILUNE_SHARED_DICT_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"

struct dict;

enum dict_type { DICT_STRING, DICT_NUMBER, DICT_BOOLEAN, DICT_LIST /* inside only */ };
struct dict_value {
  enum dict_type type;
  uint32_t flags; /* a number of the user's own beside the value */
  union {
    struct str string;
    double number;
    bool boolean;
    struct dict_list *list; /* of dict_list.c */
  };
};

enum dict_result {
  DICT_OK,
  DICT_ABSENT,
  DICT_EXISTS,
  DICT_TOO_LARGE,
  DICT_NOT_A_NUMBER,
  DICT_FULL,
  DICT_IS_A_LIST,
  DICT_NOT_A_LIST
};
/* "no such key", "key exists", ... */
const char *dict_result_text(enum dict_result result);

/* Of `bytes` in all, its own tables included; 64 KiB at least. `clock` is borrowed and must outlive the dict.
 */
struct dict *dict_new(size_t bytes, const struct clock *clock);
/* NULL is harmless. */
void dict_free(struct dict *d);
/* What it was made with; what it takes now, never more; what the largest entry may take, key and value
 * together. */
size_t dict_bytes(const struct dict *d);
size_t dict_used_bytes(struct dict *d);
size_t dict_entry_bytes_max(const struct dict *d);

/* OK, ABSENT or IS_A_LIST. A string is copied into `text`, in place of what was there, and the value points into that.
 */
enum dict_result dict_get(struct dict *d, struct str key, struct dict_value *value, struct buf *text);
/* The same, also of an entry that has expired and is still there. */
enum dict_result dict_get_stale(struct dict *d, struct str key, struct dict_value *value, struct buf *text,
                                bool *is_stale);

/* How a value is stored, and what that has cost. */
enum dict_when { DICT_ALWAYS, DICT_IF_ABSENT, DICT_IF_PRESENT };
struct dict_put {
  uint64_t ttl_ms; /* 0: never expires */
  enum dict_when when;
  bool spares;  /* nothing that lives is removed to make room */
  bool removed; /* out: something that lived was */
};
/* OK, TOO_LARGE, FULL (with `spares`), EXISTS or ABSENT (by `when`). If it is not OK, an older value stays. */
enum dict_result dict_put(struct dict *d, struct str key, const struct dict_value *value,
                          struct dict_put *how);

/* What an absent key starts from. */
struct dict_start {
  double number;
  uint64_t ttl_ms;
};
/* Adds and gives the sum; the time to live stays. `start` NULL: an absent key is ABSENT. */
enum dict_result dict_incr(struct dict *d, struct str key, double delta, const struct dict_start *start,
                           double *sum);

/* From now on; 0: never. OK or ABSENT. */
enum dict_result dict_expire(struct dict *d, struct str key, uint64_t ttl_ms);
/* Whether there was one. */
bool dict_delete(struct dict *d, struct str key);
/* OK or ABSENT; *left_ms is 0 where the entry never expires. */
enum dict_result dict_ttl(struct dict *d, struct str key, uint64_t *left_ms);
/* At most `max` keys in no order, as one malloc'd block: free(keys). Takes each shard's lock for as long as
 * it looks through that shard. */
struct str *dict_keys(struct dict *d, unsigned max, unsigned *count);
void dict_flush(struct dict *d);
/* Removes at most `max` expired ones: how many there were. */
unsigned dict_flush_expired(struct dict *d, unsigned max);
/* All that live expire now, and can still be got as stale. */
void dict_expire_all(struct dict *d);

/* dict_list.c: lists of strings and numbers, which an absent key begins. */
enum dict_end { DICT_FRONT, DICT_BACK };
/* *count: how many it has then. OK, NOT_A_LIST, TOO_LARGE or FULL. */
enum dict_result dict_push(struct dict *d, struct str key, const struct dict_value *value, enum dict_end end,
                           unsigned *count);
/* OK, ABSENT or NOT_A_LIST; the last one takes the key with it. The text is as of dict_get. */
enum dict_result dict_pop(struct dict *d, struct str key, enum dict_end end, struct dict_value *value,
                          struct buf *text);
/* OK or NOT_A_LIST; an absent key has 0. */
enum dict_result dict_length(struct dict *d, struct str key, unsigned *count);

#endif
