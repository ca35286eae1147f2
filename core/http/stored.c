// SPDX-License-Identifier: Apache-2.0
// stored: rows are written and read by one walk each, with memcpy: nothing in them is aligned. Whoever keeps a row
// knows that it is what was written (the store has a checksum of it), but for its version; lengths are checked all the
// same, since they lead out of it.
#include "http/stored.h"

#include <stdlib.h>

#include "base/memory.h"

enum { KIND_RESPONSE = 0x50520002, KIND_VARY = 0x50560002, LONGEST = 1 << 20, GAP_BYTES = 2, LINE_BYTES = 4 };

struct front {
  uint32_t kind;
  uint16_t status, fields;
  uint32_t reason_bytes, tags;
};

struct entry {
  uint32_t value_bytes;
  uint16_t name_bytes, id;
};

struct row {
  char *bytes, *at;
};

static void put(struct row *row, const void *bytes, size_t length) {
  if (length) row->at = mempcpy(row->at, bytes, length);
}

static bool take(struct str *rest, void *to, size_t length) {
  if (rest->len < length) return false;
  memcpy(to, rest->ptr, length);
  *rest = str_from(*rest, length);
  return true;
}

static bool take_text(struct str *rest, size_t length, struct str *text) {
  if (rest->len < length) return false;
  *text = (struct str){rest->ptr, length};
  *rest = str_from(*rest, length);
  return true;
}

/* --- a response ------------------------------------------------------------------------------------------- */

static size_t facts_bytes(uint32_t tags) {
  return offsetof(struct stored_facts, tags) + tags * sizeof(uint64_t);
}

static size_t length_of(const struct response *response, const struct stored_facts *facts) {
  size_t length = sizeof(struct front) + response->reason.len + facts_bytes(facts->tag_count);
  for (unsigned i = 0; i < response->headers.count; i++) {
    const struct field *field = &response->headers.items[i];
    length += sizeof(struct entry) + field->name.len + field->value.len + LINE_BYTES;
  }
  return length;
}

/* The text is as it goes out, so that the writer finds lines that stand behind one another. */
static void put_fields(struct row *row, const struct headers *h) {
  for (unsigned i = 0; i < h->count; i++) {
    const struct field *field = &h->items[i];
    struct entry entry = {(uint32_t)field->value.len, (uint16_t)field->name.len, (uint16_t)field->id};
    put(row, &entry, sizeof entry);
  }
  for (unsigned i = 0; i < h->count; i++) {
    put(row, h->items[i].name.ptr, h->items[i].name.len);
    put(row, ": ", GAP_BYTES);
    put(row, h->items[i].value.ptr, h->items[i].value.len);
    put(row, "\r\n", GAP_BYTES);
  }
}

struct str stored_write(const struct response *response, const struct stored_facts *facts) {
  const struct headers *h = &response->headers;
  size_t length = length_of(response, facts);
  if (h->count > UINT16_MAX || length > LONGEST) return (struct str){0};
  struct row row = {.bytes = memory_alloc(length)};
  struct front front = {KIND_RESPONSE, response->status, (uint16_t)h->count, (uint32_t)response->reason.len,
                        facts->tag_count};
  row.at = row.bytes;
  put(&row, &front, sizeof front);
  put(&row, facts, facts_bytes(facts->tag_count));
  put(&row, response->reason.ptr, response->reason.len);
  put_fields(&row, h);
  CHECK(row.at == row.bytes + length);
  return (struct str){row.bytes, length};
}

static bool read_fields(struct str rest, unsigned count, struct headers *h) {
  if (rest.len < count * sizeof(struct entry)) return false;
  const char *at = rest.ptr + count * sizeof(struct entry), *end = rest.ptr + rest.len;
  for (unsigned i = 0; i < count; i++) {
    struct entry entry;
    memcpy(&entry, rest.ptr + i * sizeof entry, sizeof entry);
    size_t length = (size_t)entry.name_bytes + entry.value_bytes + LINE_BYTES;
    if (entry.id >= FIELD_COUNT || (size_t)(end - at) < length) return false;
    struct str value = {at + entry.name_bytes + GAP_BYTES, entry.value_bytes};
    headers_add_field(h, (struct str){at, entry.name_bytes}, value, entry.id);
    at += length;
  }
  return true;
}

bool stored_read(struct str row, struct response *response, struct stored_facts *facts, struct arena *arena) {
  struct front front;
  *response = (struct response){.minor = 1, .keep_alive = true};
  headers_init(&response->headers, arena);
  headers_init(&response->nominated, arena);
  if (!take(&row, &front, sizeof front) || front.kind != KIND_RESPONSE || front.tags > STORED_TAGS)
    return false;
  if (!take(&row, facts, facts_bytes(front.tags)) || facts->tag_count != front.tags) return false;
  response->status = front.status;
  return take_text(&row, front.reason_bytes, &response->reason) &&
         read_fields(row, front.fields, &response->headers);
}

/* --- what a response varies on ---------------------------------------------------------------------------- */

struct vary_front {
  uint32_t kind;
  uint16_t names, variants;
  uint64_t number;
};

bool stored_is_vary(struct str row) {
  uint32_t kind;
  return take(&row, &kind, sizeof kind) && kind == KIND_VARY;
}

struct str stored_write_vary(const struct stored_vary *stored) {
  size_t length = sizeof(struct vary_front) + stored->count * sizeof *stored->variants;
  for (unsigned i = 0; i < stored->vary.count; i++) length += sizeof(uint16_t) + stored->vary.names[i].len;
  struct row row = {.bytes = memory_alloc(length)};
  struct vary_front front = {KIND_VARY, (uint16_t)stored->vary.count, (uint16_t)stored->count,
                             stored->number};
  row.at = row.bytes;
  put(&row, &front, sizeof front);
  put(&row, stored->variants, stored->count * sizeof *stored->variants);
  for (unsigned i = 0; i < stored->vary.count; i++) {
    uint16_t bytes = (uint16_t)stored->vary.names[i].len;
    put(&row, &bytes, sizeof bytes);
    put(&row, stored->vary.names[i].ptr, bytes);
  }
  return (struct str){row.bytes, length};
}

bool stored_read_vary(struct str row, struct stored_vary *stored) {
  struct vary_front front;
  uint16_t bytes;
  if (!take(&row, &front, sizeof front) || front.kind != KIND_VARY) return false;
  if (front.names > VARY_NAMES || front.variants > STORED_VARIANTS) return false;
  stored->number = front.number;
  stored->count = front.variants;
  stored->vary.count = front.names;
  if (!take(&row, stored->variants, front.variants * sizeof *stored->variants)) return false;
  for (unsigned i = 0; i < front.names; i++)
    if (!take(&row, &bytes, sizeof bytes) || !take_text(&row, bytes, &stored->vary.names[i])) return false;
  return true;
}
