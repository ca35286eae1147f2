// SPDX-License-Identifier: Apache-2.0
// Fuzz driver: small texts of fields by which the two sides agree: Upgrade, WebSocket, ETag and its lists, gRPC's
// timeout, message and media types. The first line of the input is one field, the rest are further lines of it.
#include "base/base64.h"
#include "http/etag.h"
#include "http/grammar.h"
#include "http/grpc.h"
#include "http/upgrade.h"
#include "http/websocket.h"

#include "fuzz.h"

static struct headers read_lines(struct str text, struct str name, struct arena *arena) {
  struct headers h;
  struct str line;
  headers_init(&h, arena);
  for (unsigned i = 0; i < 50 && text.len && str_split(&text, '\n', &line); i++) {
    struct str value = str_trim(line);
    struct str exact = arena_dup(arena, value);
    if (field_value_is_valid(value)) headers_add(&h, name, exact);
  }
  return h;
}

/* What is passed on has no version of HTTP in it, and is passed on whole the next time. */
static void require_upgrade(struct str text, struct arena *arena) {
  struct headers h = read_lines(text, STR("Upgrade"), arena), again;
  struct str passed = upgrade_passed(&h), protocol, rest = passed, list = passed;
  unsigned members = 0;
  while (grammar_list_next(&rest, &protocol)) {
    REQUIRE(!str_equal_nocase(protocol, STR("h2c")) && !str_equal_nocase(protocol, STR("h2")));
    members++;
  }
  REQUIRE((members > 0) == (passed.len > 0));
  if (!passed.len) return;
  headers_init(&again, arena);
  headers_add(&again, STR("Upgrade"), passed);
  REQUIRE(!upgrade_refusal_of_peer(&again, &protocol) && str_equal(upgrade_passed(&again), passed));
  REQUIRE(upgrade_is_offered(passed, list) == (members > 0 && members <= UPGRADE_LAYERS));
}

static void require_websocket(struct str text, struct arena *arena) {
  struct headers h = read_lines(text, STR("Sec-WebSocket-Key"), arena);
  struct str key = websocket_key(&h);
  if (!key.len) return;
  REQUIRE(h.count == 1 && key.len == 24 && str_equal(key, h.items[0].value));
}

/* A tag that was taken is in the list of it alone, and one that is weak equals nothing strongly. */
static void require_etags(struct str text, struct arena *arena) {
  struct headers h = read_lines(text, STR("ETag"), arena), list = read_lines(text, STR("If-Match"), arena);
  struct etag tag = etag_of(&h), taken;
  REQUIRE(!tag.opaque.len || h.count == 1);
  if (!tag.opaque.len) return;
  struct str rest = h.items[0].value;
  REQUIRE(etag_take(&rest, &taken) && !rest.len && etag_equal(tag, taken, false));
  REQUIRE(etag_equal(tag, taken, true) == !tag.is_weak);
  REQUIRE(etag_is_listed(&list, STR("If-Match"), tag, false));
  REQUIRE(etag_is_listed(&list, STR("If-Match"), tag, true) == !tag.is_weak);
}

/* As grpc-message is read: every sequence is three characters, and is one byte. */
static void require_message(struct str text, struct arena *arena) {
  struct str message = grpc_message(arena, text);
  size_t length = 0;
  for (size_t i = 0; i < message.len; i++, length++) {
    REQUIRE(message.ptr[i] >= ' ' && message.ptr[i] <= '~');
    if (message.ptr[i] == '%') i += 2;
  }
  REQUIRE(length == text.len);
  for (enum grpc_web kind = GRPC_WEB_BINARY; kind <= GRPC_WEB_TEXT; kind++)
    REQUIRE(grpc_web_end(arena, kind, 13, message).len > message.len);
}

static void require_grpc(struct str text, struct arena *arena) {
  struct headers h = read_lines(text, STR("Content-Type"), arena);
  struct request request = {.headers = h, .is_http2 = true};
  uint64_t ms;
  if (grpc_timeout_ms(text, &ms)) REQUIRE(text.len <= 9 && ms <= UINT64_C(99999999) * 3600 * 1000);
  REQUIRE(!(grpc_is_request(&request) && grpc_web_of(&h) != GRPC_WEB_NONE));
  require_message(text, arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct arena arena = {0};
  struct str text = fuzz_copy(data, size);
  require_upgrade(text, &arena);
  require_websocket(text, &arena);
  require_etags(text, &arena);
  require_grpc(text, &arena);
  free((char *)text.ptr);
  arena_free(&arena);
  return 0;
}
