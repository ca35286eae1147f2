// SPDX-License-Identifier: Apache-2.0
// lookup_table: see lookup_table.h. A slot is 0, or the place of a record plus one in its lower bits, with a part of
// the key's hash above, so that most slots of other keys are passed without a look at their records. A search for the
// longest key looks only for lengths that there are: of networks a few dozen at most.
#include "shared/lookup_table.h"

#include <stdlib.h>
#include <xxhash.h>

#include "base/buf.h"
#include "base/memory.h"

enum { PLACE_BITS = 40, SLOTS_LEAST = 64 };
#define PLACE_MASK ((UINT64_C(1) << PLACE_BITS) - 1)

struct record {
  uint32_t key_bytes, value_bytes;
  char type;
};

struct lookup_table {
  enum lookup_kind kind;
  size_t most_bytes;
  struct buf records; /* each: struct record, key, value */
  uint64_t *slots;    /* owned */
  size_t slot_count;  /* a power of two */
  size_t count;
  uint64_t lengths[LOOKUP_PREFIX_MOST / 64 + 1]; /* bits: of keys, or of networks, that there are */
};

struct lookup_table *lookup_table_new(enum lookup_kind kind, size_t most_bytes) {
  struct lookup_table *table = memory_zalloc(sizeof *table);
  table->kind = kind;
  table->most_bytes = most_bytes;
  table->slot_count = SLOTS_LEAST;
  table->slots = memory_zalloc(SLOTS_LEAST * sizeof *table->slots);
  return table;
}

void lookup_table_free(struct lookup_table *table) {
  if (!table) return;
  buf_release(&table->records);
  free(table->slots);
  free(table);
}

size_t lookup_table_count(const struct lookup_table *table) { return table->count; }

size_t lookup_table_bytes(const struct lookup_table *table) {
  return sizeof *table + table->records.cap + table->slot_count * sizeof *table->slots;
}

/* --- slots ------------------------------------------------------------------------------------------------ */

static uint64_t hash_of(struct str key) { return XXH3_64bits(key.ptr ? key.ptr : "", key.len); }

static struct lookup_found record_at(const struct lookup_table *table, uint64_t slot) {
  const char *at = table->records.data + (slot & PLACE_MASK) - 1;
  struct record record;
  memcpy(&record, at, sizeof record);
  at += sizeof record;
  return (struct lookup_found){
      {at, record.key_bytes}, {at + record.key_bytes, record.value_bytes}, record.type};
}

/* The slot of the key, or the empty one where it would be. */
static uint64_t *slot_of(const struct lookup_table *table, struct str key, uint64_t hash) {
  size_t mask = table->slot_count - 1;
  for (size_t at = hash & mask;; at = (at + 1) & mask) {
    uint64_t *slot = &table->slots[at];
    if (!*slot) return slot;
    if ((*slot ^ hash) & ~PLACE_MASK) continue;
    if (str_equal(record_at(table, *slot).key, key)) return slot;
  }
}

static void grow(struct lookup_table *table) {
  uint64_t *old = table->slots;
  size_t old_count = table->slot_count;
  table->slot_count *= 2;
  table->slots = memory_zalloc(table->slot_count * sizeof *table->slots);
  for (size_t i = 0; i < old_count; i++) {
    if (!old[i]) continue;
    struct str key = record_at(table, old[i]).key;
    *slot_of(table, key, hash_of(key)) = old[i];
  }
  free(old);
}

/* --- filling ---------------------------------------------------------------------------------------------- */

static size_t length_of(const struct lookup_table *table, struct str key) {
  return table->kind == LOOKUP_NETWORK ? (unsigned char)key.ptr[LOOKUP_ADDRESS_BYTES] : key.len;
}

static const char *fault_of(const struct lookup_table *table, struct str key, struct str value) {
  size_t bytes = sizeof(struct record) + key.len + value.len;
  if (table->kind == LOOKUP_PREFIX && key.len > LOOKUP_PREFIX_MOST) return "a prefix has at most 1024 bytes";
  if (key.len > UINT32_MAX || value.len > UINT32_MAX) return "it is too long";
  if (bytes > table->most_bytes || lookup_table_bytes(table) > table->most_bytes - bytes)
    return "the table is larger than its option 'size' allows";
  return NULL;
}

const char *lookup_table_add(struct lookup_table *table, struct str key, char type, struct str value) {
  const char *fault = fault_of(table, key, value);
  if (fault) return fault;
  struct record record;
  memset(&record, 0, sizeof record);
  record = (struct record){(uint32_t)key.len, (uint32_t)value.len, type};
  uint64_t hash = hash_of(key), place = buf_len(&table->records) + 1;
  if (place > PLACE_MASK) return "the table is too large";
  uint64_t *slot = slot_of(table, key, hash);
  bool is_new = !*slot;
  buf_append(&table->records, &record, sizeof record);
  buf_append_str(&table->records, key);
  buf_append_str(&table->records, value);
  *slot = (hash & ~PLACE_MASK) | place;
  if (!is_new) return NULL;
  if (table->kind != LOOKUP_TEXT) {
    size_t length = length_of(table, key);
    table->lengths[length / 64] |= UINT64_C(1) << length % 64;
  }
  if (++table->count * 4 > table->slot_count * 3) grow(table);
  return NULL;
}

/* --- finding ---------------------------------------------------------------------------------------------- */

static bool find_exactly(const struct lookup_table *table, struct str key, struct lookup_found *found) {
  uint64_t slot = *slot_of(table, key, hash_of(key));
  if (slot) *found = record_at(table, slot);
  return slot != 0;
}

/* The longest length there is, at most `length`; -1: there is none. */
static int next_length(const struct lookup_table *table, int length) {
  while (length >= 0) {
    uint64_t bits = table->lengths[length / 64] << (63 - length % 64);
    if (bits) return length - __builtin_clzll(bits);
    length = length / 64 * 64 - 1;
  }
  return -1;
}

static bool find_prefix(const struct lookup_table *table, struct str key, struct lookup_found *found) {
  int most = key.len < LOOKUP_PREFIX_MOST ? (int)key.len : LOOKUP_PREFIX_MOST;
  for (int length = next_length(table, most); length >= 0; length = next_length(table, length - 1))
    if (find_exactly(table, (struct str){key.ptr, (size_t)length}, found)) return true;
  return false;
}

static bool find_network(const struct lookup_table *table, struct str address, struct lookup_found *found) {
  unsigned char key[LOOKUP_NETWORK_BYTES];
  memcpy(key, address.ptr, LOOKUP_ADDRESS_BYTES);
  for (int bits = next_length(table, 128); bits >= 0; bits = next_length(table, bits - 1)) {
    int whole = bits / 8;
    if (whole < LOOKUP_ADDRESS_BYTES) {
      key[whole] &= (unsigned char)(0xff00 >> bits % 8);
      memset(key + whole + 1, 0, (size_t)(LOOKUP_ADDRESS_BYTES - 1 - whole));
    }
    key[LOOKUP_ADDRESS_BYTES] = (unsigned char)bits;
    if (find_exactly(table, (struct str){(const char *)key, sizeof key}, found)) return true;
  }
  return false;
}

bool lookup_table_find(const struct lookup_table *table, struct str key, struct lookup_found *found) {
  switch (table->kind) {
  case LOOKUP_TEXT: return find_exactly(table, key, found);
  case LOOKUP_PREFIX: return find_prefix(table, key, found);
  case LOOKUP_NETWORK: return key.len == LOOKUP_ADDRESS_BYTES && find_network(table, key, found);
  }
  return false;
}
