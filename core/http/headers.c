// SPDX-License-Identifier: Apache-2.0
// headers: the list of fields. The hard problem is speed: field_id runs for each field of each message, and the lookups
// by number several times, so both avoid comparing text if the length or the number is enough.
#include "http/headers.h"

#include "base/check.h"
#include "http/grammar.h"

enum { FIRST_ROOM = 16 };

static unsigned remove_from(struct headers *h, struct field wanted, unsigned from);

/* Is it the word of a name, in whatever case? Exact: of what names are made of, only letters have the bit 0x40, and
 * for these alone the bit that makes lower case is set. */
static inline bool is_word(const char *text, const char *lower, size_t bytes) {
  uint64_t word = 0, wanted = 0;
  memcpy(&word, text, bytes);
  memcpy(&wanted, lower, bytes);
  return (word | (wanted & UINT64_C(0x4040404040404040)) >> 1) == wanted;
}

/* Whole words, the last of which may overlap the one before it. Lengths are constants at each call. */
static inline __attribute__((always_inline)) bool equals_lower(const char *text, const char *lower,
                                                               size_t length) {
  size_t word = length >= 8 ? 8 : length >= 4 ? 4 : length >= 2 ? 2 : 1;
  if (!is_word(text + length - word, lower + length - word, word)) return false;
#pragma GCC unroll 4
  for (size_t at = 0; at + word < length; at += word)
    if (!is_word(text + at, lower + at, word)) return false;
  return true;
}

/* `length` is a constant at each call, so the compiler keeps only the names of that length. */
static inline __attribute__((always_inline)) enum field_id id_of_length(const char *text, size_t length) {
#define X(id, name)                                                                                          \
  if (sizeof(name) - 1 == length && equals_lower(text, name, sizeof(name) - 1)) return FIELD_##id;
  FIELD_TABLE(X)
#undef X
  return FIELD_OTHER;
}

enum { LONGEST_NAME = 25 };
#define X(id, name) _Static_assert(sizeof(name) - 1 <= LONGEST_NAME, "field_id needs a case for " name);
FIELD_TABLE(X)
#undef X

enum field_id field_id(struct str name) {
#define CASE(length)                                                                                         \
  case length: return id_of_length(name.ptr, length);
  switch (name.len) {
    // clang-format off
    CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12) CASE(13)
    CASE(14) CASE(15) CASE(16) CASE(17) CASE(18) CASE(19) CASE(20) CASE(21) CASE(22) CASE(23) CASE(24) CASE(25)
    // clang-format on
  }
#undef CASE
  return FIELD_OTHER;
}

const struct str field_names[] = {
    STR_INIT(""),
    STR_INIT("Host"),
    STR_INIT("Connection"),
    STR_INIT("Content-Length"),
    STR_INIT("Transfer-Encoding"),
    STR_INIT("Keep-Alive"),
    STR_INIT("Proxy-Connection"),
    STR_INIT("TE"),
    STR_INIT("Trailer"),
    STR_INIT("Upgrade"),
    STR_INIT("Expect"),
    STR_INIT("Date"),
    STR_INIT("Via"),
    STR_INIT("Forwarded"),
    STR_INIT("X-Forwarded-For"),
    STR_INIT("X-Forwarded-Proto"),
    STR_INIT("X-Forwarded-Host"),
    STR_INIT("Proxy-Authenticate"),
    STR_INIT("Proxy-Authorization"),
    STR_INIT("Proxy-Authentication-Info"),
    STR_INIT("Max-Forwards"),
    STR_INIT("Cookie"),
    STR_INIT("User-Agent"),
    STR_INIT("Referer"),
    STR_INIT("HTTP2-Settings"),
    STR_INIT("Accept"),
    STR_INIT("Content-Type"),
    STR_INIT("traceparent"),
    STR_INIT("tracestate"),
};
_Static_assert(FIELD_COUNT <= 32, "headers.present has a bit per number");
_Static_assert(sizeof field_names / sizeof *field_names == FIELD_COUNT, "a field without its usual spelling");

bool field_name_is_valid(struct str name) { return grammar_is_all(name, CLASS_TOKEN); }

bool field_value_is_valid(struct str value) { return grammar_is_text(value); }

void headers_init(struct headers *h, struct arena *arena) { *h = (struct headers){.arena = arena}; }

void headers_copy(struct headers *to, const struct headers *from, struct arena *arena) {
  headers_init(to, arena);
  if (from->count == 0) return;
  to->cap = from->count + FIRST_ROOM / 2; /* a copy is made to be changed */
  to->items = arena_alloc(arena, to->cap * sizeof *to->items);
  to->count = from->count;
  to->present = from->present;
  memcpy(to->items, from->items, from->count * sizeof *to->items);
}

static inline bool matches(const struct field *field, struct field wanted) {
  if (field->id != wanted.id) return false;
  if (wanted.id != FIELD_OTHER) return true;
  return field->name.len == wanted.name.len && str_equal_nocase(field->name, wanted.name);
}

static struct field named(struct str name, struct str value) {
  return (struct field){.name = name, .value = value, .id = field_id(name)};
}

const struct field *headers_next(const struct headers *h, struct str name, unsigned *at) {
  struct field wanted = named(name, (struct str){0});
  while (*at < h->count) {
    const struct field *field = &h->items[(*at)++];
    if (matches(field, wanted)) return field;
  }
  return NULL;
}

const struct field *headers_find(const struct headers *h, struct str name) {
  unsigned at = 0;
  return headers_next(h, name, &at);
}

const struct field *headers_search_id(const struct headers *h, enum field_id id) {
  for (unsigned i = 0; i < h->count; i++)
    if (h->items[i].id == id) return &h->items[i];
  return NULL;
}

unsigned headers_count_id(const struct headers *h, enum field_id id) {
  unsigned count = 0;
  if (!headers_may_have(h, id)) return 0;
  for (unsigned i = 0; i < h->count; i++) count += h->items[i].id == id;
  return count;
}

void headers_add(struct headers *h, struct str name, struct str value) {
  headers_add_field(h, name, value, field_id(name));
}

void headers_add_id(struct headers *h, enum field_id id, struct str value) {
  headers_add_field(h, field_names[id], value, id);
}

bool headers_next_member(const struct headers *h, enum field_id id, unsigned *at, struct str *rest,
                         struct str *member) {
  if (!headers_may_have(h, id)) return false;
  while (!grammar_list_next(rest, member)) {
    while (*at < h->count && h->items[*at].id != id) (*at)++;
    if (*at == h->count) return false;
    *rest = h->items[(*at)++].value;
  }
  return true;
}

void headers_grow(struct headers *h) {
  unsigned cap = h->cap ? h->cap * 2 : FIRST_ROOM;
  struct field *items = arena_alloc(h->arena, cap * sizeof *items);
  if (h->count) memcpy(items, h->items, h->count * sizeof *items);
  h->items = items;
  h->cap = cap;
}

void headers_add_first(struct headers *h, struct field field) {
  if (h->count == h->cap) headers_grow(h);
  memmove(h->items + 1, h->items, h->count * sizeof *h->items);
  h->items[0] = field;
  h->count++;
  h->present |= UINT32_C(1) << field.id;
}

void headers_set_id(struct headers *h, enum field_id id, struct str value) {
  headers_set_field(h, (struct field){.name = field_name(id), .value = value, .id = id});
}

void headers_set_field(struct headers *h, struct field field) {
  for (unsigned i = 0; i < h->count && headers_may_have(h, field.id); i++) {
    if (!matches(&h->items[i], field)) continue;
    h->items[i] = field;
    remove_from(h, field, i + 1);
    return;
  }
  headers_add_field(h, field.name, field.value, field.id);
  h->items[h->count - 1].is_set = field.is_set;
}

unsigned headers_remove(struct headers *h, struct str name) {
  return remove_from(h, named(name, (struct str){0}), 0);
}

unsigned headers_remove_id(struct headers *h, enum field_id id) {
  return remove_from(h, (struct field){.id = id}, 0);
}

static unsigned remove_from(struct headers *h, struct field wanted, unsigned from) {
  unsigned kept = from;
  if (!headers_may_have(h, wanted.id)) return 0;
  for (unsigned i = from; i < h->count; i++) {
    if (matches(&h->items[i], wanted)) continue;
    if (kept < i) h->items[kept] = h->items[i];
    kept++;
  }
  unsigned removed = h->count - kept;
  h->count = kept;
  return removed;
}
