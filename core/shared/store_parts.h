// SPDX-License-Identifier: Apache-2.0
// store_parts: what the files of the store share: segments (store_segments.c), index (store_index.c), records in the
// memory, and the store itself.
#ifndef PERILUNE_SHARED_STORE_PARTS_H
#define PERILUNE_SHARED_STORE_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/check.h"
#include "shared/store.h"
#include "shared/store_file.h"

enum { STORE_ALIGN = 64, STORE_SHARDS = 64, STORE_WAYS = 8, STORE_FREQ_MOST = 3 };

/* Where a record is. */
struct store_place {
  uint32_t segment, offset, generation;
};

/* --- segments --- */

enum store_log { STORE_SMALL, STORE_MAIN, STORE_LOGS };
enum segment_state {
  SEGMENT_FREE,
  SEGMENT_OPEN,
  SEGMENT_SEALED,
  SEGMENT_HELD,   /* emptied, but somebody still reads */
  SEGMENT_CLEANED /* it is being given new pages */
};

struct segment {
  _Alignas(64) _Atomic uint32_t pins; /* leases and writers */
  _Atomic uint32_t generation;
  /* Under the lock of the segments: */
  enum segment_state state;
  enum store_log log;
  uint32_t used;
  uint64_t order; /* of the segments that were opened */
  uint64_t opened_ms;
};

struct segments {
  pthread_mutex_t lock;
  struct store_file file;
  struct store_front *front; /* in the file */
  char *memory;              /* of the segments, behind it */
  uint32_t count, bytes;     /* of one */
  uint32_t free, of_log[STORE_LOGS], small_most;
  uint32_t open[STORE_LOGS]; /* count: none */
  uint64_t order;
  uint64_t emptied, emptied_small, eviction_age_ms;
  struct segment *all; /* owned */
};

bool segments_init(struct segments *g, const struct store_settings *settings, const char **why);
/* The segment as another process has left it, with so many bytes of records. */
void segments_recover(struct segments *g, uint32_t segment, uint32_t used);
void segments_free(struct segments *g);
/* Room for `least` to `most` bytes behind one another, pinned. `most` is cut to what is left of the open segment
 * if that has `least`. False: there is no room. *taken is a multiple of STORE_ALIGN. */
bool segments_reserve(struct segments *g, enum store_log log, uint32_t least, uint32_t most,
                      struct store_place *place, uint32_t *taken);
/* Gives back the end of a reservation if nothing came behind it; else its record stays as long as it is. */
void segments_trim(struct segments *g, struct store_place place, uint32_t taken, uint32_t needed);
/* False: the segment was emptied since. */
bool segments_pin(struct segments *g, struct store_place place);
void segments_unpin(struct segments *g, uint32_t segment);
/* Where free segments are rare, the next one to be emptied, pinned for the caller; g->count: none. */
uint32_t segments_next(struct segments *g);
/* Empties it: what is in it is no longer found. The caller's pin ends. */
void segments_empty(struct segments *g, uint32_t segment);
static inline char *segments_at(const struct segments *g, uint32_t segment, uint32_t offset) {
  return g->memory + (size_t)segment * g->bytes + offset;
}

/* --- index --- */

struct index_entry {
  uint32_t tag; /* upper half of the hash */
  uint32_t offset;
  uint32_t generation;
  uint16_t segment;
  uint8_t is_used, freq; /* is_used: ENTRY_USED, or ENTRY_UNCHECKED */
};
enum { ENTRY_USED = 1, ENTRY_UNCHECKED }; /* its body comes from a file, and was not looked at so far */

struct index_bucket {
  struct index_entry ways[STORE_WAYS];
};

struct index_shard {
  _Alignas(64) pthread_mutex_t lock;
  struct index_bucket *buckets; /* owned */
};

struct store_index {
  uint32_t buckets; /* of a shard; a power of two */
  struct index_shard shards[STORE_SHARDS];
  uint32_t ghosts;         /* a power of two */
  _Atomic uint32_t *ghost; /* owned */
};

/* --- records --- */

enum { RECORD_HEAD = 0x0b1ec7, RECORD_BODY = 0xb0d1e5, RECORD_DEAD = 0xdead };

struct record_piece {
  struct store_place place; /* of the bytes, not of their record */
  uint32_t length, sum;
};

/* In front of each run of bytes in a segment. A head: record, pieces[room], key, head, first bytes of the body. */
struct record {
  _Atomic uint32_t kind;
  uint32_t bytes; /* with this; the next record is behind */
  uint64_t hash;
  uint32_t key_bytes, head_bytes;
  uint32_t room, count; /* pieces */
  uint64_t body_bytes;
  uint64_t serial; /* of two of one key, the higher one counts */
  uint64_t sum;    /* of pieces, key and head */
  struct record_piece pieces[];
};

static inline struct str record_key(const struct record *r) {
  return (struct str){(const char *)(r->pieces + r->room), r->key_bytes};
}
static inline struct str record_head(const struct record *r) {
  return (struct str){(const char *)(r->pieces + r->room) + r->key_bytes, r->head_bytes};
}
uint64_t record_sum(const struct record *r);

struct store {
  struct segments segments;
  struct store_index index;
  pthread_mutex_t maintaining;
  uint32_t emptying, emptying_at; /* under it: a segment that is being moved from; segments.count: none */
  uint32_t emptying_moved;
  bool is_inherited;
  _Atomic uint64_t stored, moved, moved_bytes, refused;
};

void index_init(struct store_index *index, size_t objects);
void index_free(struct store_index *index);
/* The record of that key, its segment pinned; NULL: none. Counts as a use. */
const struct record *index_find(struct store *s, uint64_t hash, struct str key, struct store_place *place,
                                bool *is_unchecked);
/* Of a record that was found in a file: unless there is a later one of its key. */
void index_recover(struct store *s, const struct record *record, struct store_place place);
/* The body of the record at this place is what was written. */
void index_mark_sound(struct store *s, uint64_t hash, struct store_place place);
/* Puts it there in place of another of its key, of one that is dead, or of the one that is used least. */
void index_put(struct store *s, uint64_t hash, struct str key, struct store_place place);
bool index_remove(struct store *s, uint64_t hash, struct str key);
/* How often the object at this place was used, if it is still found there; -1: it is not. */
int index_uses(struct store *s, uint64_t hash, struct store_place place);
/* The object at `from` is at `to` from now on, unless it was replaced or removed meanwhile: then false. Both are
 * pinned; the record that does not count is dead. */
bool index_move(struct store *s, uint64_t hash, struct store_place from, struct store_place to,
                unsigned freq);
/* What is at this place is no longer found. */
void index_drop(struct store *s, uint64_t hash, struct store_place place);
/* Keys that were evicted of late. */
void index_remember(struct store_index *index, uint64_t hash);
bool index_remembers(struct store_index *index, uint64_t hash);

/* For writing to a chosen log. */
struct store_writer *store_begin_in(struct store *s, enum store_log log, struct str key, struct str head,
                                    uint64_t length);
/* It takes the place of what was stored then. */
void store_set_serial(struct store_writer *w, uint64_t serial);
/* Copies what is in the store of another process. False: that is none like this one. */
bool store_adopt(struct store *s, int descriptor);
/* Makes the index from what is in the file. */
void store_recover(struct store *s);
/* What another process has left, or goes on with, is not believed. A record begins here, and ends within `room` bytes;
 * what is in the `bytes` of one is what was written; a piece is where one may be, in `count` segments of `bytes`. */
bool record_begins(const struct record *r, uint32_t room);
bool record_is_sound(const struct record *r, uint32_t bytes);
bool record_piece_is_placed(const struct record_piece *piece, uint32_t count, uint32_t bytes);
/* As store_finish, for an object that was at `from`: false as well where that is not found there any more. */
bool store_finish_move(struct store_writer *w, struct store_place from, unsigned freq);

#endif
