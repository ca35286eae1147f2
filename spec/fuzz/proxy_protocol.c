// SPDX-License-Identifier: Apache-2.0
// Fuzz driver: PROXY headers. The verdict does not depend on how they arrive, what was read is written so
// that the same addresses are read again, and whoever the client is said to be, the fields that tell the peer so are
// these fields and nothing else.
#include "http/proxy_protocol.h"

#include <arpa/inet.h>

#include "http/claims.h"
#include "http/framing.h"
#include "http/writer.h"
#include "net/addr.h"

#include "fuzz.h"

static enum proxy_protocol_result parse(struct str bytes, struct proxy_protocol *header, size_t *length) {
  struct str copy = fuzz_copy(bytes.ptr, bytes.len);
  enum proxy_protocol_result result = proxy_protocol_parse(copy.ptr, copy.len, header, length);
  free((char *)copy.ptr);
  return result;
}

static bool is_same(const struct proxy_protocol *a, const struct proxy_protocol *b) {
  return a->is_of_client == b->is_of_client && a->source_length == b->source_length &&
         a->destination_length == b->destination_length &&
         memcmp(&a->source, &b->source, sizeof a->source) == 0 &&
         memcmp(&a->destination, &b->destination, sizeof a->destination) == 0;
}

/* Version 2 can say all that was read; what it says is stable: IPv4-mapped addresses became IPv4 in the first
 * round. */
static void require_round_trip(const struct proxy_protocol *header) {
  char bytes[PROXY_PROTOCOL_BYTES];
  struct proxy_protocol first, second;
  size_t length, written = proxy_protocol_write(2, header, bytes);
  REQUIRE(parse((struct str){bytes, written}, &first, &length) == PROXY_PROTOCOL_WHOLE && length == written);
  REQUIRE((first.source_length == 0) == (header->source_length == 0));
  written = proxy_protocol_write(2, &first, bytes);
  REQUIRE(parse((struct str){bytes, written}, &second, &length) == PROXY_PROTOCOL_WHOLE && length == written);
  REQUIRE(is_same(&first, &second));
  written = proxy_protocol_write(1, header, bytes);
  REQUIRE(written <= 107);
  REQUIRE(parse((struct str){bytes, written}, &second, &length) == PROXY_PROTOCOL_WHOLE && length == written);
  REQUIRE(second.source_length == 0 || is_same(&first, &second));
}

/* "unknown", or an IP address as it is written. */
static void require_node(struct str text) {
  char copy[ADDR_TEXT] = {0};
  struct in6_addr address;
  REQUIRE(text.len < sizeof copy);
  memcpy(copy, text.ptr, text.len);
  bool is_address = inet_pton(AF_INET, copy, &address) == 1 || inet_pton(AF_INET6, copy, &address) == 1;
  REQUIRE(is_address || str_equal(text, STR("unknown")));
}

/* From the header to the fields of a request, and back through the parser. */
static void require_fields(const struct proxy_protocol *header) {
  char text[ADDR_TEXT];
  struct arena arena = {0};
  struct request request = {.minor = 1, .method_name = STR("GET"), .method = METHOD_GET, .target = STR("/")},
                 again;
  struct str client = {text, addr_format_client((const void *)&header->source, header->source_length, text)};
  struct str host = addr_host_of_client(client), node = claims_node(host, &arena);
  require_node(claims_address(host));
  headers_init(&request.headers, &arena);
  headers_add(&request.headers, STR("Host"), STR("a"));
  headers_add_id(&request.headers, FIELD_X_FORWARDED_FOR, claims_address(host));
  headers_add_id(&request.headers, FIELD_FORWARDED, arena_printf(&arena, "for=%.*s", STR_ARG(node)));
  struct str head = writer_request(&arena, &request, (struct body){FRAMING_NONE, 0}, &(struct writer_hop){0});
  REQUIRE(head.ptr &&
          parser_request(&(struct head){.text = head}, &arena, &fuzz_limits[0], &again, NULL) == ERROR_NONE);
  fuzz_require_same(&again.headers, &request.headers);
  arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct str input = {(const char *)data, size};
  struct proxy_protocol whole, bytes;
  size_t length, bytes_length = 0;
  enum proxy_protocol_result verdict = parse(input, &whole, &length), result = PROXY_PROTOCOL_MORE;
  for (size_t count = 0; count <= size && result == PROXY_PROTOCOL_MORE; count++)
    result = parse((struct str){input.ptr, count}, &bytes, &bytes_length);
  REQUIRE(result == verdict);
  if (verdict != PROXY_PROTOCOL_WHOLE) return 0;
  REQUIRE(length == bytes_length && length <= size && length <= PROXY_PROTOCOL_LONGEST);
  REQUIRE(is_same(&whole, &bytes));
  REQUIRE((whole.source_length == 0) == (whole.destination_length == 0));
  require_round_trip(&whole);
  require_fields(&whole);
  return 0;
}
