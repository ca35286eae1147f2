// SPDX-License-Identifier: Apache-2.0
// Fuzz driver: the rows of a cache, as a file may have them, and what tags a response has. The first byte says which
// kind of row the input is made into. What is read is within the row, and written again as one that is read as the
// same.
#include "http/stored.h"

#include "fuzz.h"
#include "http/cache_tags.h"

static bool is_within(struct str part, struct str row) {
  return !part.len || (part.ptr >= row.ptr && part.len <= (size_t)(row.ptr + row.len - part.ptr));
}

/* Tags are of the fields, and not longer than these together. */
static void require_tags(const struct headers *h, size_t bytes) {
  struct tag_walk walk;
  struct str name;
  bool is_group;
  for (int invalidates = 0; invalidates < 2; invalidates++) {
    size_t length = 0;
    if (invalidates)
      tag_walk_begin_invalidation(&walk, h);
    else
      tag_walk_begin(&walk, h);
    while (tag_walk_next(&walk, &name, &is_group)) {
      REQUIRE(name.len && (is_group || !invalidates));
      length += name.len;
    }
    REQUIRE(length <= bytes);
  }
}

static void require_response(struct str row, struct arena *arena) {
  struct response response, again;
  struct stored_facts facts = {0}, facts_again = {0};
  if (!stored_read(row, &response, &facts, arena)) return;
  REQUIRE(!stored_is_vary(row) && is_within(response.reason, row) && facts.tag_count <= STORED_TAGS);
  for (unsigned i = 0; i < response.headers.count; i++) {
    const struct field *field = &response.headers.items[i];
    REQUIRE(is_within(field->name, row) && is_within(field->value, row) && field->id < FIELD_COUNT);
  }
  require_tags(&response.headers, row.len);
  struct str written = stored_write(&response, &facts);
  if (!written.ptr) return;
  REQUIRE(stored_read(written, &again, &facts_again, arena));
  REQUIRE(again.status == response.status && str_equal(again.reason, response.reason));
  fuzz_require_same(&again.headers, &response.headers);
  REQUIRE(memcmp(facts.tags, facts_again.tags, facts.tag_count * sizeof *facts.tags) == 0);
  REQUIRE(facts.number == facts_again.number && facts.wall_ms == facts_again.wall_ms);
  free((char *)written.ptr);
}

static void require_vary(struct str row) {
  struct stored_vary vary, again;
  if (!stored_read_vary(row, &vary)) return;
  REQUIRE(stored_is_vary(row) && vary.count <= STORED_VARIANTS && vary.vary.count <= VARY_NAMES);
  for (unsigned i = 0; i < vary.vary.count; i++) REQUIRE(is_within(vary.vary.names[i], row));
  struct str written = stored_write_vary(&vary);
  REQUIRE(stored_read_vary(written, &again) && again.number == vary.number && again.count == vary.count);
  REQUIRE(memcmp(again.variants, vary.variants, vary.count * sizeof *vary.variants) == 0);
  REQUIRE(again.vary.count == vary.vary.count);
  for (unsigned i = 0; i < vary.vary.count; i++) REQUIRE(str_equal(again.vary.names[i], vary.vary.names[i]));
  free((char *)written.ptr);
}

/* A field a line, and its tags one by one. */
static void require_fields(struct str text, struct arena *arena) {
  static const char *const names[] = {"Surrogate-Key", "Cache-Tag", "Cache-Groups",
                                      "Cache-Group-Invalidation"};
  struct headers h;
  struct str line;
  headers_init(&h, arena);
  for (unsigned i = 0; i < 100 && text.len && str_split(&text, '\n', &line); i++) {
    struct str value = arena_dup(arena, str_trim(line));
    if (field_value_is_valid(value)) headers_add(&h, str_of(names[i % 4]), value);
  }
  size_t bytes = 0;
  for (unsigned i = 0; i < h.count; i++) bytes += h.items[i].value.len;
  require_tags(&h, bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  /* As stored_write and stored_write_vary begin theirs. */
  static const uint32_t kinds[] = {0x50520002, 0x50560002};
  struct arena arena = {0};
  if (!size) return 0;
  unsigned what = data[0] % 4;
  struct str row = fuzz_copy(data + 1, size - 1);
  if (what < 2 && row.len >= sizeof *kinds) memcpy((char *)row.ptr, &kinds[what], sizeof *kinds);
  require_response(row, &arena);
  require_vary(row);
  if (what == 3) require_fields(row, &arena);
  free((char *)row.ptr);
  arena_free(&arena);
  return 0;
}
