// SPDX-License-Identifier: Apache-2.0
// h2_decoder: the one hard problem is where texts lie. They are in the block, in a table, or, where they came Huffman
// coded, in the scratch buffer; a field that goes into the table is shown from there. A new entry may push out the one
// whose name it takes, so it is made before there is room for it.
#include "http/h2_decoder.h"

#include "base/memory.h"
#include "http/h2_huffman.h"
#include "http/h2_static.h"

enum {
  ENTRY_OVERHEAD = 32, /* RFC 7541 section 4.1 */
  PLACES_FIRST = 16,
  INDEXED = 0x80, /* sections 6.1 to 6.3 */
  LITERAL_KEPT = 0x40,
  SIZE_UPDATE = 0x20,
  LITERAL_NEVER = 0x10,
  HUFFMAN = 0x80,    /* section 5.2 */
  REPEAT_CODED = 40, /* bytes of a repeated value as it comes, and as it is read: a date fits */
  REPEAT_TEXT = 64,
};

/* A literal, as it came last under its name. */
struct h2_repeat {
  struct h2_found found;
  unsigned char coded_bytes, text_bytes;
  uint8_t coded[REPEAT_CODED]; /* with its length */
  char text[REPEAT_TEXT];
};
_Static_assert(REPEAT_CODED * 8 / 5 <= REPEAT_TEXT, "whatever is coded in so few bytes has room");
struct h2_repeats {
  struct h2_repeat *of[H2_STATIC_COUNT + 1]; /* owned; by the index of the name */
};

/* In the table. */
struct h2_kept_field {
  struct h2_found found;
  uint32_t name_bytes, value_bytes;
  char text[]; /* name and value */
};

/* --- the table ------------------------------------------------------------------------------------------ */

static struct h2_kept_field **place_of(struct h2_decoder *d, uint32_t number) {
  return &d->entries[number & (d->places - 1)];
}

static struct str name_of(const struct h2_kept_field *entry) {
  return (struct str){entry->text, entry->name_bytes};
}
static struct str value_of(const struct h2_kept_field *entry) {
  return (struct str){entry->text + entry->name_bytes, entry->value_bytes};
}

static void forget_oldest(struct h2_decoder *d) {
  struct h2_kept_field *entry = *place_of(d, d->inserted - --d->count);
  d->bytes -= entry->name_bytes + entry->value_bytes + ENTRY_OVERHEAD;
  piece_free(entry);
}

static void shrink(struct h2_decoder *d, size_t room) {
  while (d->count && d->bytes + room > H2_DECODER_BYTES - d->bytes_less) forget_oldest(d);
}

void h2_decoder_free(struct h2_decoder *d) {
  while (d->count) forget_oldest(d);
  for (unsigned i = 0; d->repeats && i <= H2_STATIC_COUNT; i++) piece_free(d->repeats->of[i]);
  piece_free(d->repeats);
  piece_free(d->entries);
  buf_release(&d->scratch);
}

void h2_decoder_keep_repeats(struct h2_decoder *d) { d->repeats = piece_zalloc(sizeof *d->repeats); }

static void grow(struct h2_decoder *d) {
  uint32_t places = d->places ? 2 * d->places : PLACES_FIRST;
  struct h2_kept_field **entries = piece_alloc(places * sizeof *entries);
  for (uint32_t i = 0, number = d->inserted; i < d->count; i++, number--)
    entries[number & (places - 1)] = *place_of(d, number);
  piece_free(d->entries);
  d->entries = entries;
  d->places = places;
}

/* What is larger than the table empties it, and is not kept (section 4.4). Its name may lie there. */
static void empty(struct h2_decoder *d, struct h2_read_field *field) {
  size_t length = field->name.len;
  if (length <= H2_DECODER_BYTES && length) {
    char *copy = memcpy(buf_tail(&d->scratch), field->name.ptr, length);
    buf_commit(&d->scratch, length);
    field->name.ptr = copy;
  }
  while (d->count) forget_oldest(d);
}

static void insert(struct h2_decoder *d, struct h2_read_field *field) {
  size_t texts = field->name.len + field->value.len, bytes = texts + ENTRY_OVERHEAD;
  if (bytes > H2_DECODER_BYTES - d->bytes_less) return empty(d, field);
  struct h2_kept_field *entry = piece_alloc(sizeof *entry + texts);
  entry->found = field->found ? *field->found : (struct h2_found){0};
  entry->name_bytes = (uint32_t)field->name.len;
  entry->value_bytes = (uint32_t)field->value.len;
  if (field->name.len) memcpy(entry->text, field->name.ptr, field->name.len);
  if (field->value.len) memcpy(entry->text + field->name.len, field->value.ptr, field->value.len);
  shrink(d, bytes);
  if (d->count == d->places) grow(d);
  *place_of(d, ++d->inserted) = entry;
  d->count++;
  d->bytes += bytes;
  field->name = name_of(entry);
  field->value = value_of(entry);
  field->found = &entry->found;
}

/* False: there is no such index (section 2.3.3). */
static bool take_index(struct h2_decoder *d, uint64_t index, struct h2_read_field *field) {
  static _Thread_local struct h2_found of_static[H2_STATIC_COUNT + 1];
  if (!index) return false;
  if (index <= H2_STATIC_COUNT) {
    *field = (struct h2_read_field){h2_static[index].name, h2_static[index].value, false, &of_static[index]};
    return true;
  }
  if (index - H2_STATIC_COUNT > d->count) return false;
  struct h2_kept_field *entry = *place_of(d, d->inserted - (uint32_t)(index - H2_STATIC_COUNT - 1));
  *field = (struct h2_read_field){name_of(entry), value_of(entry), false, &entry->found};
  return true;
}

/* --- numbers and texts ---------------------------------------------------------------------------------- */

/* Section 5.1. False: it is cut, or larger than anything that it could be. */
static inline bool read_number(struct h2_coded *block, unsigned bits, uint64_t *number) {
  enum { SHIFT_MOST = 28 };
  uint64_t most = (1u << bits) - 1;
  *number = *block->at++ & most;
  if (*number < most) return true;
  for (unsigned shift = 0; block->at < block->end && shift <= SHIFT_MOST; shift += 7) {
    uint8_t byte = *block->at++;
    *number += (uint64_t)(byte & 0x7f) << shift;
    if (!(byte & 0x80)) return *number <= UINT32_MAX;
  }
  return false;
}

static bool read_text(struct h2_decoder *d, struct h2_coded *block, struct str *text) {
  uint64_t count;
  if (block->at == block->end) return false;
  bool is_coded = *block->at & HUFFMAN;
  if (!read_number(block, 7, &count) || count > (uint64_t)(block->end - block->at)) return false;
  *text = (struct str){(const char *)block->at, count};
  block->at += count;
  if (!is_coded) return true;
  CHECK(buf_space(&d->scratch) >= h2_huffman_most(count));
  char *to = buf_tail(&d->scratch);
  if (!h2_huffman_read((const uint8_t *)text->ptr, count, to, &text->len)) return false;
  text->ptr = to;
  buf_commit(&d->scratch, text->len);
  return true;
}

/* All texts that can still come have room, so none of them moves while it is shown. */
static void make_scratch(struct h2_decoder *d, const struct h2_coded *block) {
  d->scratch.start = d->scratch.end = 0;
  size_t most = h2_huffman_most((size_t)(block->end - block->at)) + H2_DECODER_BYTES;
  if (d->scratch.cap < most) buf_reserve(&d->scratch, most);
}

/* --- a field -------------------------------------------------------------------------------------------- */

/* Before the first field only (section 4.2), and never larger than we have said. */
static bool update_size(struct h2_decoder *d, struct h2_coded *block) {
  uint64_t bytes;
  if (block->has_begun || !read_number(block, 5, &bytes) || bytes > H2_DECODER_BYTES) return false;
  d->bytes_less = H2_DECODER_BYTES - bytes;
  shrink(d, 0);
  return true;
}

/* A name with its value: what is known of the name holds. */
static bool take_name(struct h2_decoder *d, uint64_t index, struct h2_read_field *field) {
  if (!take_index(d, index, field)) return false;
  if (!field->found->has_name) h2_found_name(field->found, field->name);
  d->of_name = *field->found;
  d->of_name.has_value = false;
  field->found = &d->of_name;
  return true;
}

/* The bytes of the next value with its length, where they are few; 0: they are not. */
static size_t short_value(const struct h2_coded *block) {
  size_t left = (size_t)(block->end - block->at), bytes = left ? 1 + (*block->at & 0x7f) : 0;
  return bytes <= left && bytes <= REPEAT_CODED ? bytes : 0;
}

static bool is_repeated(const struct h2_repeat *r, const uint8_t *coded, size_t bytes) {
  return r && r->coded_bytes == bytes && memcmp(r->coded, coded, bytes) == 0;
}

static void keep_repeat(struct h2_repeat **at, const uint8_t *coded, size_t bytes,
                        const struct h2_read_field *field) {
  struct h2_repeat *r = *at ? *at : (*at = piece_alloc(sizeof *r));
  r->found = *field->found;
  r->coded_bytes = (unsigned char)bytes;
  memcpy(r->coded, coded, bytes);
  r->text_bytes = (unsigned char)field->value.len;
  memcpy(r->text, field->value.ptr, field->value.len);
}

static bool read_repeated(struct h2_decoder *d, struct h2_coded *block, uint64_t index,
                          struct h2_read_field *field) {
  struct h2_repeat **at = &d->repeats->of[index];
  const uint8_t *coded = block->at;
  size_t bytes = short_value(block);
  if (!is_repeated(*at, coded, bytes)) {
    if (!read_text(d, block, &field->value)) return false;
    if (!bytes) return true;
    keep_repeat(at, coded, bytes, field);
  } else {
    block->at += bytes;
  }
  field->value = (struct str){(*at)->text, (*at)->text_bytes};
  field->found = &(*at)->found;
  return true;
}

static bool read_literal(struct h2_decoder *d, struct h2_coded *block, struct h2_read_field *field) {
  unsigned char first = *block->at;
  bool is_kept = first & LITERAL_KEPT, is_never = !is_kept && first & LITERAL_NEVER;
  uint64_t index;
  *field = (struct h2_read_field){.is_sensitive = is_never};
  make_scratch(d, block);
  if (!read_number(block, is_kept ? 6 : 4, &index)) return false;
  if (index ? !take_name(d, index, field) : !read_text(d, block, &field->name)) return false;
  field->is_sensitive = is_never;
  bool may_repeat = d->repeats && index && index <= H2_STATIC_COUNT && !is_never;
  if (may_repeat ? !read_repeated(d, block, index, field) : !read_text(d, block, &field->value)) return false;
  struct h2_found *found = field->found;
  if (is_kept) insert(d, field);
  if (may_repeat) field->found = found; /* for the next time */
  return true;
}

static bool read_field(struct h2_decoder *d, struct h2_coded *block, struct h2_read_field *field) {
  uint64_t index;
  if (!(*block->at & INDEXED)) return read_literal(d, block, field);
  return read_number(block, 7, &index) && take_index(d, index, field);
}

static bool is_update(const struct h2_coded *block) {
  return block->at < block->end && (*block->at & ~(SIZE_UPDATE - 1)) == SIZE_UPDATE;
}

enum h2_read h2_decoder_next(struct h2_decoder *d, struct h2_coded *block, struct h2_read_field *field) {
  while (is_update(block))
    if (!update_size(d, block)) return H2_READ_FAULT;
  if (block->at == block->end) {
    buf_release(&d->scratch);
    return H2_READ_END;
  }
  block->has_begun = true;
  return read_field(d, block, field) ? H2_READ_FIELD : H2_READ_FAULT;
}
