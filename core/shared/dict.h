// SPDX-License-Identifier: Apache-2.0
// dict: a dictionary shared by all workers, bounded in bytes. When it is full, the least recently used
// entries are removed, so storing fails only for an entry that is too large by itself. Keys are any bytes.
// Thread-safe: it is split into shards by key, each with its own lock; while a lock is held, nothing is freed
// and no new value is copied.
#ifndef PERILUNE_SHARED_DICT_H
#define PERILUNE_SHARED_DICT_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/str.h"

struct dict;

enum dict_type { DICT_STRING, DICT_NUMBER, DICT_BOOLEAN };
struct dict_value {
  enum dict_type type;
  union {
    struct str string;
    double number;
    bool boolean;
  };
};

enum dict_result { DICT_OK, DICT_ABSENT, DICT_EXISTS, DICT_TOO_LARGE, DICT_NOT_A_NUMBER };
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

/* OK or ABSENT. A string is copied into `text`, in place of what was there, and the value points into that.
 */
enum dict_result dict_get(struct dict *d, struct str key, struct dict_value *value, struct buf *text);
/* A ttl_ms of 0: never expires. OK or TOO_LARGE (an older value then stays). */
enum dict_result dict_set(struct dict *d, struct str key, const struct dict_value *value, uint64_t ttl_ms);
/* Only where there is none: OK, EXISTS or TOO_LARGE. */
enum dict_result dict_add(struct dict *d, struct str key, const struct dict_value *value, uint64_t ttl_ms);

/* What an absent key starts from. */
struct dict_start {
  double number;
  uint64_t ttl_ms;
};
/* Adds and gives the sum; the time to live stays. `start` NULL: an absent key is ABSENT. */
enum dict_result dict_incr(struct dict *d, struct str key, double delta, const struct dict_start *start,
                           double *sum);

/* Whether there was one. */
bool dict_delete(struct dict *d, struct str key);
/* OK or ABSENT; *left_ms is 0 where the entry never expires. */
enum dict_result dict_ttl(struct dict *d, struct str key, uint64_t *left_ms);
/* At most `max` keys in no order, as one malloc'd block: free(keys). Takes each shard's lock for as long as
 * it looks through that shard. */
struct str *dict_keys(struct dict *d, unsigned max, unsigned *count);
void dict_flush(struct dict *d);

#endif
