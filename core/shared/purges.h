// SPDX-License-Identifier: Apache-2.0
// purges: what was purged when. Each purge gets the next number, and an object is dead if something that it belongs to
// was purged with a number above that which was current when its peer was asked: so what is on its way when a purge
// comes is dead when it arrives. A purge takes a few instructions, however many objects it concerns: nothing is walked,
// and no list grows.
//
// Numbers are kept in a table of a fixed size, by the hash of what was purged. Things with the same place there share
// their numbers: so a purge may concern too much, but never too little.
//
// Words. key: of one URL. prefix: what URLs begin with. tag: a name that objects have. soft: objects are stale from
// then on, and not gone.
#ifndef PERILUNE_SHARED_PURGES_H
#define PERILUNE_SHARED_PURGES_H

#include <stdatomic.h>

#include "base/str.h"

enum purge_kind { PURGE_KEY, PURGE_PREFIX, PURGE_TAG, PURGE_ALL };
enum purge_found { PURGE_NOTHING, PURGE_SOFT, PURGE_HARD };
enum { PURGE_PREFIX_MOST = 512 };

struct purge_slot {
  _Atomic uint64_t hard, soft; /* numbers */
  _Atomic int64_t soft_ms;     /* wall clock, of the last soft one */
};

struct purge_table {
  _Atomic uint64_t number;                              /* of the last one */
  _Atomic uint64_t prefix, tag, soft;                   /* of the last ones of these */
  _Atomic uint64_t lengths[PURGE_PREFIX_MOST / 64 + 1]; /* which prefixes there were, by their length */
  struct purge_slot all;
  uint64_t mask; /* of the slots' numbers */
  struct purge_slot slots[];
};

/* How large it is for a store of so many bytes. */
size_t purges_bytes(size_t store_bytes);
/* `memory` is zeroed, and borrowed. */
struct purge_table *purges_init(void *memory, size_t store_bytes);

/* Everything that there is now is older than what comes. */
static inline void purges_begin_again(struct purge_table *p) { atomic_fetch_add(&p->number, 1); }
static inline uint64_t purges_number(const struct purge_table *p) { return atomic_load(&p->number); }
/* `prefix` has at most PURGE_PREFIX_MOST bytes; `tag` is the hash of a tag's name. */
void purges_add_key(struct purge_table *p, struct str key, bool is_soft, int64_t wall_ms);
void purges_add_prefix(struct purge_table *p, struct str prefix, bool is_soft, int64_t wall_ms);
void purges_add_tag(struct purge_table *p, uint64_t tag, bool is_soft, int64_t wall_ms);
void purges_add_all(struct purge_table *p, bool is_soft, int64_t wall_ms);

/* What an object belongs to. Borrowed. */
struct purge_object {
  uint64_t number; /* that was current when its peer was asked */
  struct str key;
  const uint64_t *tags;
  unsigned tag_count;
  bool has_more_tags; /* than these: each purge of a tag concerns it */
  bool looks_at_key;  /* hard purges of the key count; else whoever purges one removes the object itself */
};
/* *soft_ms: when it became stale, where it is PURGE_SOFT. */
enum purge_found purges_look(const struct purge_table *p, const struct purge_object *object,
                             int64_t *soft_ms);

#endif
