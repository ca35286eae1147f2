// SPDX-License-Identifier: Apache-2.0
// purges: the number of a purge is written where it belongs, and then where a look begins: a look that sees the second
// sees the first. A prefix is looked for by the hashes of the beginnings of the key that are as long as any prefix that
// was purged.
#include "shared/purges.h"

#include <xxhash.h>

#include "base/check.h"

enum { OBJECT_BYTES = 8192, SLOTS_LEAST = 1024, SLOTS_MOST = 65536, WORD_BITS = 64 };
enum seed { SEED_KEY = 1, SEED_PREFIX, SEED_TAG };

static size_t slots_for(size_t store_bytes) {
  size_t slots = SLOTS_LEAST;
  while (slots < SLOTS_MOST && slots < store_bytes / OBJECT_BYTES) slots *= 2;
  return slots;
}

size_t purges_bytes(size_t store_bytes) {
  return sizeof(struct purge_table) + slots_for(store_bytes) * sizeof(struct purge_slot);
}

struct purge_table *purges_init(void *memory, size_t store_bytes) {
  struct purge_table *p = memory;
  p->mask = slots_for(store_bytes) - 1;
  return p;
}

static struct purge_slot *slot_of(const struct purge_table *p, struct str text, enum seed seed) {
  uint64_t hash = XXH3_64bits_withSeed(text.ptr, text.len, seed);
  return (struct purge_slot *)(uintptr_t)&p->slots[hash & p->mask];
}

static struct purge_slot *slot_of_tag(const struct purge_table *p, uint64_t tag) {
  return slot_of(p, (struct str){(const char *)&tag, sizeof tag}, SEED_TAG);
}

/* --- adding ----------------------------------------------------------------------------------------------- */

static void raise(_Atomic uint64_t *to, uint64_t number) {
  uint64_t had = atomic_load(to);
  while (had < number && !atomic_compare_exchange_weak(to, &had, number)) continue;
}

static void mark(struct purge_table *p, struct purge_slot *slot, bool is_soft, int64_t wall_ms,
                 _Atomic uint64_t *last) {
  uint64_t number = atomic_fetch_add(&p->number, 1) + 1;
  if (is_soft) atomic_store(&slot->soft_ms, wall_ms);
  raise(is_soft ? &slot->soft : &slot->hard, number);
  if (last) raise(last, number);
  if (is_soft) raise(&p->soft, number);
}

void purges_add_key(struct purge_table *p, struct str key, bool is_soft, int64_t wall_ms) {
  mark(p, slot_of(p, key, SEED_KEY), is_soft, wall_ms, NULL);
}

void purges_add_prefix(struct purge_table *p, struct str prefix, bool is_soft, int64_t wall_ms) {
  CHECK(prefix.len <= PURGE_PREFIX_MOST);
  atomic_fetch_or(&p->lengths[prefix.len / WORD_BITS], UINT64_C(1) << prefix.len % WORD_BITS);
  mark(p, slot_of(p, prefix, SEED_PREFIX), is_soft, wall_ms, &p->prefix);
}

void purges_add_tag(struct purge_table *p, uint64_t tag, bool is_soft, int64_t wall_ms) {
  mark(p, slot_of_tag(p, tag), is_soft, wall_ms, &p->tag);
}

void purges_add_all(struct purge_table *p, bool is_soft, int64_t wall_ms) {
  mark(p, &p->all, is_soft, wall_ms, NULL);
}

/* --- looking ---------------------------------------------------------------------------------------------- */

struct look {
  const struct purge_table *p;
  const struct purge_object *object;
  bool is_soft; /* softly, at least */
  int64_t soft_ms;
};

/* True: it is gone. */
static bool is_hard(struct look *look, const struct purge_slot *slot, bool counts_hard) {
  uint64_t number = look->object->number;
  if (counts_hard && atomic_load(&slot->hard) > number) return true;
  if (atomic_load(&slot->soft) > number) {
    int64_t ms = atomic_load(&slot->soft_ms);
    if (!look->is_soft || ms < look->soft_ms) look->soft_ms = ms;
    look->is_soft = true;
  }
  return false;
}

static bool look_at_tags(struct look *look) {
  const struct purge_object *object = look->object;
  if (object->has_more_tags) return true;
  for (unsigned i = 0; i < object->tag_count; i++)
    if (is_hard(look, slot_of_tag(look->p, object->tags[i]), true)) return true;
  return false;
}

static bool look_at_length(struct look *look, size_t length) {
  struct str key = look->object->key;
  if (length > key.len) return false;
  return is_hard(look, slot_of(look->p, (struct str){key.ptr, length}, SEED_PREFIX), true);
}

static bool look_at_prefixes(struct look *look) {
  for (size_t word = 0; word <= PURGE_PREFIX_MOST / WORD_BITS; word++) {
    uint64_t bits = atomic_load(&look->p->lengths[word]);
    for (; bits; bits &= bits - 1)
      if (look_at_length(look, word * WORD_BITS + (size_t)__builtin_ctzll(bits))) return true;
  }
  return false;
}

enum purge_found purges_look(const struct purge_table *p, const struct purge_object *object,
                             int64_t *soft_ms) {
  struct look look = {.p = p, .object = object};
  if (atomic_load(&p->number) <= object->number) return PURGE_NOTHING; /* of most: nothing was purged since */
  if (is_hard(&look, &p->all, true)) return PURGE_HARD;
  bool wants_key = object->looks_at_key || atomic_load(&p->soft) > object->number;
  if (wants_key && is_hard(&look, slot_of(p, object->key, SEED_KEY), object->looks_at_key)) return PURGE_HARD;
  if (atomic_load(&p->tag) > object->number && look_at_tags(&look)) return PURGE_HARD;
  if (atomic_load(&p->prefix) > object->number && look_at_prefixes(&look)) return PURGE_HARD;
  *soft_ms = look.soft_ms;
  return look.is_soft ? PURGE_SOFT : PURGE_NOTHING;
}
