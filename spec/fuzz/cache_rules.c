// SPDX-License-Identifier: Apache-2.0
// Fuzz driver: the rules of a cache. The input is the fields of a request, an empty line, and those of a response, a
// line each. Nothing reads beyond its bytes, every number is within its bounds, and what one rule writes another
// reads.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/date.h"
#include "http/cache_status.h"
#include "http/codable.h"
#include "http/conditions.h"
#include "http/grammar.h"
#include "http/http_date.h"
#include "http/members.h"
#include "http/ranges.h"
#include "http/renewal.h"
#include "http/reuse.h"
#include "http/storable.h"
#include "http/structured.h"
#include "http/vary.h"

#include "fuzz.h"

enum { NOW = 1764460800 };

/* The lines of `text` that are fields, up to an empty one; each value in memory of its exact size. */
static struct headers read_fields(struct str *text, struct arena *arena) {
  struct headers h;
  struct str line;
  headers_init(&h, arena);
  while (text->ptr && str_split(text, '\n', &line) && line.len) {
    size_t colon = str_find(line, ':');
    struct str name = {line.ptr, colon}, value = str_trim(str_from(line, colon + 1));
    if (h.count < 100 && field_name_is_valid(name) && field_value_is_valid(value))
      headers_add(&h, arena_dup(arena, name), arena_dup(arena, value));
  }
  return h;
}

static void require_items(struct structured_value value, struct arena *arena) {
  struct structured parameters = structured_begin(value.parameters), items = structured_begin(value.text);
  struct structured_value inner;
  struct str key;
  if (value.type == STRUCTURED_STRING) REQUIRE(structured_text(&value, arena).len <= value.text.len);
  while (structured_next_parameter(&parameters, &key, &inner)) REQUIRE(key.len > 0);
  REQUIRE(!parameters.failed);
  if (value.type != STRUCTURED_INNER_LIST) return;
  while (structured_next_inner(&items, &inner)) require_items(inner, arena);
  REQUIRE(!items.failed);
}

static void require_structured(struct str text, struct arena *arena) {
  struct structured list = structured_begin(text), dictionary = list;
  struct structured_value value;
  struct str key;
  unsigned members = 0;
  while (structured_next(&list, &value)) {
    require_items(value, arena);
    members++;
  }
  if (structured_item(text, &value) && value.type != STRUCTURED_INNER_LIST)
    REQUIRE(!list.failed && members == 1);
  while (structured_next_entry(&dictionary, &key, &value)) require_items(value, arena);
}

/* A date that is read is written as one that is read as the same. */
static void require_date(struct str text) {
  int64_t when, again;
  if (!http_date_parse(text, NOW, &when)) return;
  REQUIRE(when >= INT64_C(-62167219200) && when <= INT64_C(253402300800));
  if (when < 0 || when >= INT64_C(253402300800)) return;
  REQUIRE(http_date_parse(date_text(DATE_HTTP, when), NOW, &again) && again == when);
}

/* Does a Content-Range say just that? */
static bool says(struct str field, const struct range *range, uint64_t length) {
  uint64_t first, last, total;
  char *text = str_to_cstring(field), end;
  int read = sscanf(text, "bytes %" SCNu64 "-%" SCNu64 "/%" SCNu64 "%c", &first, &last, &total, &end);
  free(text);
  return read == 3 && first == range->first && last == range->last && total == length;
}

static void require_ranges(struct str value, uint64_t length, struct arena *arena) {
  struct ranges ranges;
  if (ranges_parse(value, length, &ranges) != RANGES_SOME) return;
  REQUIRE(ranges.count > 0 && ranges.count <= RANGES_MOST);
  for (unsigned i = 0; i < ranges.count; i++) {
    struct range *range = &ranges.items[i];
    REQUIRE(range->first <= range->last && range->last < length);
    for (unsigned j = 0; j < i; j++) {
      struct range *other = &ranges.items[j], *low = other->first < range->first ? other : range;
      REQUIRE((low == range ? other : range)->first > low->last);
    }
    REQUIRE(length == UINT64_MAX || says(range_field(range, length, arena), range, length));
  }
}

static void require_coding(const struct headers *h) {
  struct accept_encoding accept;
  accept_encoding_parse(h, &accept);
  for (unsigned offered = 0; offered <= CODINGS_ALL; offered++) {
    enum coding chosen = accept_encoding_choose(&accept, offered);
    unsigned acceptable = accept_encoding_set(&accept, offered);
    REQUIRE(chosen < CODING_COUNT);
    REQUIRE(chosen == CODING_IDENTITY || (acceptable >> chosen & 1));
    REQUIRE(chosen != CODING_IDENTITY || !(acceptable & ~CODINGS_IDENTITY) ||
            (acceptable & CODINGS_IDENTITY));
  }
}

/* A request whose lines are joined has the same key, and the key reads in one way. */
static void require_key(const struct headers *request, const struct headers *response, struct arena *arena) {
  struct vary vary;
  struct headers joined;
  struct str key, other;
  if (!vary_parse(response, &vary)) return;
  REQUIRE(vary.count <= VARY_NAMES);
  if (!vary_key(&vary, request, CODINGS_ALL, arena, &key)) return;
  REQUIRE(key.len <= VARY_KEY_BYTES);
  size_t lines = 0;
  for (size_t i = 0; i < key.len; i++) lines += key.ptr[i] == '\n';
  REQUIRE(lines == vary.count);
  headers_init(&joined, arena);
  for (unsigned i = 0; i < request->count; i++) {
    struct str value = field_joined(request, request->items[i].name, arena);
    /* A quote that a line leaves open ends there; joined it would go on. */
    if (str_find(value, '"') < value.len) return;
    headers_remove(&joined, request->items[i].name);
    headers_add(&joined, request->items[i].name, value);
  }
  REQUIRE(vary_key(&vary, &joined, CODINGS_ALL, arena, &other) && str_equal(key, other));
}

static void require_decisions(struct request *request, struct response *response, struct arena *arena) {
  struct str targets[] = {STR("CDN-Cache-Control")};
  struct cache_control asked, cc;
  struct freshness f;
  struct freshness_rules loose = {.guesses = true, .grace_beside_s_maxage = true};
  struct storable_rules rules = {.keeps_cookies = false};
  cache_control_of_request(&request->headers, &asked);
  cache_control_of_response(&response->headers, targets, 1, arena, &cc);
  freshness_of(&f, response, &cc, (struct freshness_times){(NOW - 1) * 1000LL, NOW * 1000LL}, &loose);
  REQUIRE(f.lifetime_s <= CACHE_SECONDS_MOST &&
          f.initial_age_ms <= (uint64_t)CACHE_SECONDS_MOST * 1000 + 1000);
  REQUIRE(f.while_revalidate_s <= CACHE_SECONDS_MOST && f.if_error_s <= CACHE_SECONDS_MOST);
  REQUIRE(freshness_age_field(&f, UINT64_MAX / 4) == CACHE_SECONDS_MOST);
  enum storable reason = storable(request, &asked, response, &cc, &f, &rules);
  REQUIRE(reason < STORABLE_COUNT && storable_name(reason));
  REQUIRE(reason || !headers_find(&response->headers, STR("Set-Cookie")));
  REQUIRE(reason || !cache_control_has(&cc, CACHE_PRIVATE));
  enum reuse reuse = reuse_decide(&f, 1000, &asked, &(struct reuse_rules){true});
  REQUIRE(reuse == REUSE_VALIDATE || !f.is_validated_always);
  REQUIRE(!f.is_never_stale || freshness_left_ms(&f, 1000) > 0 || reuse >= REUSE_VALIDATE);
  REQUIRE(!reuse_on_error(&f, 1000, 200));
}

static void require_conditions(struct request *request, struct response *response, struct arena *arena) {
  struct validators v;
  struct headers asked, merged;
  validators_of(&v, &response->headers, NOW);
  condition_for_origin(request, response->status, &v, NOW);
  REQUIRE(condition_for_cache(request, 404, &v, NOW) != CONDITION_NOT_MODIFIED);
  condition_if_range(&request->headers, &v, NOW);
  headers_copy(&asked, &request->headers, arena);
  condition_ask(&asked, &response->headers);
  REQUIRE(!headers_find(&asked, STR("Range")) && field_lines(&asked, STR("If-None-Match")) <= 1);
  /* A response with a tag that is one answers the condition made of it. */
  struct request own = {.method = METHOD_GET, .headers = asked};
  if (v.etag.opaque.len) REQUIRE(condition_for_cache(&own, 200, &v, NOW) == CONDITION_NOT_MODIFIED);
  renewal_is_about(&response->headers, &request->headers, true, NOW);
  renewal_changes_vary(&response->headers, &request->headers);
  renewal_merge(&merged, &response->headers, &request->headers, &(struct storable_rules){0}, arena);
  REQUIRE(merged.count <= response->headers.count + request->headers.count);
  REQUIRE(headers_count_id(&merged, FIELD_CONNECTION) ==
          headers_count_id(&response->headers, FIELD_CONNECTION));
}

/* For whoever splits Vary at each comma: there are no quotes in its grammar. */
static bool varies_on_encoding(const struct headers *h, struct arena *arena) {
  struct str rest = field_joined(h, STR("Vary"), arena), member;
  while (grammar_list_next(&rest, &member))
    if (str_equal_nocase(member, STR("Accept-Encoding")) || str_equal(member, STR("*"))) return true;
  return false;
}

/* A response that is coded says so, names Accept-Encoding in Vary, and keeps nothing that was of the plain body. Where
 * the name is added, several lines of Vary become one; where it was there, they stay. */
static void require_codable(const struct request *request, const struct response *response,
                            struct arena *arena) {
  struct codable_rules rules = {.offered = CODINGS_ALL, .least_bytes = CODABLE_LEAST};
  struct codable_choice choice = codable_choose(request, response, &rules);
  struct headers h;
  enum coding codings[2];
  REQUIRE(choice.reason < CODABLE_COUNT && codable_name(choice.reason));
  REQUIRE((choice.coding != CODING_IDENTITY) == (choice.reason == CODABLE_YES));
  headers_copy(&h, &response->headers, arena);
  codable_apply(&h, &choice);
  if (choice.weakens) REQUIRE(field_lines(&h, STR("ETag")) == 0 || etag_of(&h).is_weak);
  if (choice.coding == CODING_IDENTITY) return;
  REQUIRE(codings_of(&h, codings, 2) == 1 && codings[0] == choice.coding);
  REQUIRE(!headers_find_id(&h, FIELD_CONTENT_LENGTH) && varies_on_encoding(&h, arena));
  REQUIRE(field_lines(&h, STR("Vary")) == 1 || varies_on_encoding(&response->headers, arena));
  unsigned count = h.count;
  codable_vary(&h);
  REQUIRE(h.count == count);
}

static void require_status(struct str text, struct arena *arena) {
  struct cache_status status = {
      .cache = text, .key = text, .detail = text, .has_ttl = true, .ttl_s = -(int64_t)text.len};
  struct structured s = structured_begin(cache_status_text(&status, arena));
  struct structured_value value;
  REQUIRE(structured_next(&s, &value) && !structured_next(&s, &value) && !s.failed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct arena arena = {0};
  struct str text = {(const char *)data, size}, whole = fuzz_copy(data, size);
  if (!size) text.ptr = "";
  struct request request = {.method = METHOD_GET, .headers = read_fields(&text, &arena)};
  struct response response = {.status = (unsigned short)(size % 500 + 100)};
  if (!text.ptr) text = (struct str){"", 0};
  response.headers = read_fields(&text, &arena);
  require_decisions(&request, &response, &arena);
  require_conditions(&request, &response, &arena);
  require_key(&request.headers, &response.headers, &arena);
  require_coding(&request.headers);
  request.minor = 1;
  require_codable(&request, &response, &arena);
  require_structured(whole, &arena);
  require_date(whole);
  require_status(whole, &arena);
  require_ranges(whole, size * 7, &arena);
  for (unsigned i = 0; i < request.headers.count; i++) {
    struct str value = request.headers.items[i].value;
    require_structured(value, &arena);
    require_date(value);
    require_ranges(value, i % 2 ? UINT64_MAX : 1000, &arena);
    invalidated_target(value, STR("http"), STR("a"));
  }
  free((char *)whole.ptr);
  arena_free(&arena);
  return 0;
}
