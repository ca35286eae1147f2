// SPDX-License-Identifier: Apache-2.0
// h2_encoder: the one hard problem is to agree with a table that lies with the other side. It knows entries by how many
// came behind them. So forgetting one earlier than the other side does is no fault, and ours may be the smaller table.
#include "http/h2_encoder.h"

#include "base/memory.h"
#include "http/h2_static.h"

enum {
  ENTRY_OVERHEAD = 32,               /* RFC 7541 section 4.1 */
  ENTRY_MOST = H2_ENCODER_BYTES / 4, /* what is larger would push out what the others share */
  NUMBER_MOST = 10,                  /* bytes of a number */
  INDEXED = 0x80,                    /* sections 6.1, 6.2 */
  LITERAL_KEPT = 0x40,
  LITERAL = 0x00,
  LITERAL_NEVER = 0x10,
};

/* In the table of the other side. */
struct h2_entry {
  size_t name_bytes, value_bytes;
  char text[]; /* name and value */
};

static size_t size_of(struct str name, struct str value) { return name.len + value.len + ENTRY_OVERHEAD; }

/* --- the table ------------------------------------------------------------------------------------------ */

static struct h2_entry **place_of(struct h2_encoder *e, uint32_t number) {
  return &e->entries[number % H2_ENCODER_ENTRIES];
}

static bool is_kept(const struct h2_encoder *e, uint32_t number) { return e->inserted - number < e->count; }

static void forget_oldest(struct h2_encoder *e) {
  struct h2_entry **place = place_of(e, e->inserted - --e->count);
  e->bytes -= (*place)->name_bytes + (*place)->value_bytes + ENTRY_OVERHEAD;
  piece_free(*place);
  *place = NULL;
}

static void shrink(struct h2_encoder *e, size_t room) {
  size_t most = H2_ENCODER_BYTES - e->bytes_less;
  while (e->count && e->bytes + room > most) forget_oldest(e);
}

void h2_encoder_free(struct h2_encoder *e) {
  while (e->count) forget_oldest(e);
}

void h2_encoder_limit(struct h2_encoder *e, uint32_t bytes) {
  e->bytes_less = bytes < H2_ENCODER_BYTES ? H2_ENCODER_BYTES - bytes : 0;
  shrink(e, 0);
}

/* False: it has no place there. */
static bool insert(struct h2_encoder *e, struct str name, struct str value, struct h2_seen *seen) {
  size_t bytes = size_of(name, value);
  bool has_room = bytes <= ENTRY_MOST && bytes <= H2_ENCODER_BYTES - e->bytes_less;
  if (!has_room || e->inserted == UINT32_MAX - H2_STATIC_COUNT) return false;
  shrink(e, bytes);
  if (e->count == H2_ENCODER_ENTRIES) forget_oldest(e);
  struct h2_entry *entry = piece_alloc(sizeof *entry + name.len + value.len);
  entry->name_bytes = name.len;
  entry->value_bytes = value.len;
  memcpy(entry->text, name.ptr, name.len);
  if (value.len) memcpy(entry->text + name.len, value.ptr, value.len);
  *place_of(e, ++e->inserted) = entry;
  seen->number = H2_STATIC_COUNT + e->inserted;
  e->count++;
  e->bytes += bytes;
  return true;
}

/* --- texts and numbers ---------------------------------------------------------------------------------- */

/* Section 5.1. */
static inline char *put_number(char *to, unsigned pattern, unsigned bits, size_t number) {
  size_t most = ((size_t)1 << bits) - 1;
  if (number < most) {
    *to++ = (char)(pattern | number);
    return to;
  }
  *to++ = (char)(pattern | most);
  for (number -= most; number >= 0x80; number >>= 7) *to++ = (char)(0x80 | (number & 0x7f));
  *to++ = (char)number;
  return to;
}

static inline char *put_text(char *to, struct str text) {
  to = put_number(to, 0, 7, text.len);
  if (text.len) memcpy(to, text.ptr, text.len);
  return to + text.len;
}

static inline char *put_literal(char *to, unsigned pattern, unsigned bits, unsigned name_index,
                                const struct h2_field *field) {
  to = put_number(to, pattern, bits, name_index);
  if (!name_index) to = put_text(to, field->name);
  return put_text(to, field->value);
}

/* --- a field that came before ---------------------------------------------------------------------------- */

static inline uint64_t word_at(const char *at, size_t bytes) {
  uint64_t word = 0;
  memcpy(&word, at, bytes);
  return word;
}

/* Up to eight bytes: those at both ends, which may overlap. */
static inline uint64_t short_word(struct str text) {
  if (text.len >= 8) return word_at(text.ptr, 8);
  if (text.len >= 4) return word_at(text.ptr, 4) << 32 | word_at(text.ptr + text.len - 4, 4);
  if (text.len >= 2) return word_at(text.ptr, 2) << 16 | word_at(text.ptr + text.len - 2, 2);
  return text.len ? (uint64_t)(unsigned char)text.ptr[0] : 0;
}

static inline uint64_t mixed(uint64_t hash, uint64_t word) {
  return (hash ^ word ^ hash >> 32) * UINT64_C(0x9e3779b97f4a7c15);
}

/* Of the beginning, the middle and the end: who makes two fields alike makes them longer, and no more. */
static inline uint32_t hash_of(struct str name, struct str value) {
  uint64_t hash = mixed(name.len * 65536 + value.len, short_word(name));
  hash = mixed(hash, short_word(value));
  if (value.len > 8) hash = mixed(hash, word_at(value.ptr + value.len - 8, 8));
  if (value.len > 16) hash = mixed(hash, word_at(value.ptr + value.len / 2 - 4, 8));
  return (uint32_t)(hash >> 32);
}

/* Without a call: most texts have a few words. */
static inline bool is_same(const char *a, struct str b) {
  if (b.len < 8) return short_word((struct str){a, b.len}) == short_word(b);
  for (size_t at = 0; at + 8 < b.len; at += 8)
    if (word_at(a + at, 8) != word_at(b.ptr + at, 8)) return false;
  return word_at(a + b.len - 8, 8) == word_at(b.ptr + b.len - 8, 8);
}

static inline bool is_pair(struct str name, struct str value, const struct h2_field *field) {
  return name.len == field->name.len && value.len == field->value.len && is_same(name.ptr, field->name) &&
         is_same(value.ptr, field->value);
}

/* The index of a field (section 2.3.3) that is the one that was seen; 0: it is not, or not there any more. */
static inline unsigned index_of(struct h2_encoder *e, const struct h2_seen *seen,
                                const struct h2_field *field) {
  if (seen->number <= H2_STATIC_COUNT) {
    const struct h2_pair *pair = &h2_static[seen->number];
    return is_pair(pair->name, pair->value, field) ? seen->number : 0;
  }
  uint32_t number = seen->number - H2_STATIC_COUNT;
  if (!is_kept(e, number)) return 0;
  const struct h2_entry *entry = *place_of(e, number);
  struct str name = {entry->text, entry->name_bytes};
  struct str value = {entry->text + entry->name_bytes, entry->value_bytes};
  return is_pair(name, value, field) ? H2_STATIC_COUNT + 1 + (e->inserted - number) : 0;
}

/* --- a field -------------------------------------------------------------------------------------------- */

static inline bool is_in_no_table(const struct h2_field *field) {
  return str_equal(field->name, STR("cookie")) || str_equal(field->name, STR("set-cookie"));
}

/* It comes for the first time, or is not in the table any more. */
static __attribute__((noinline)) char *put_new(struct h2_encoder *e, const struct h2_field *field,
                                               struct h2_seen *seen, uint32_t hash, char *to) {
  unsigned name_index = h2_static_name(field->name), whole = h2_static_pair(name_index, field->value);
  bool is_first = seen->hash != hash;
  if (is_first || whole) *seen = (struct h2_seen){hash, whole};
  if (whole) return put_number(to, INDEXED, 7, whole);
  if (!is_first && !is_kept(e, seen->number - H2_STATIC_COUNT) && insert(e, field->name, field->value, seen))
    return put_literal(to, LITERAL_KEPT, 6, name_index, field);
  return put_literal(to, LITERAL, 4, name_index, field);
}

static inline char *put_field(struct h2_encoder *e, const struct h2_field *field, char *to) {
  if (field->is_sensitive) return put_literal(to, LITERAL_NEVER, 4, h2_static_name(field->name), field);
  if (is_in_no_table(field)) return put_literal(to, LITERAL, 4, h2_static_name(field->name), field);
  uint32_t hash = hash_of(field->name, field->value);
  struct h2_seen *seen = &e->seen[hash % H2_ENCODER_SEEN];
  unsigned index = seen->hash == hash ? index_of(e, seen, field) : 0;
  return index ? put_number(to, INDEXED, 7, index) : put_new(e, field, seen, hash, to);
}

size_t h2_encoder_most(const struct h2_fields *fields) {
  size_t most = 0;
  for (unsigned i = 0; i < fields->count; i++)
    most += fields->items[i].name.len + fields->items[i].value.len + 3 * NUMBER_MOST;
  return most;
}

char *h2_encoder_put(struct h2_encoder *e, const struct h2_fields *fields, char *to) {
  for (unsigned i = 0; i < fields->count; i++) to = put_field(e, &fields->items[i], to);
  return to;
}
