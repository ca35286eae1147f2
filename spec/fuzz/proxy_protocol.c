// SPDX-License-Identifier: Apache-2.0
// Fuzz driver: PROXY headers. The verdict does not depend on how they arrive, and what was read is written so
// that the same addresses are read again.
#include "http/proxy_protocol.h"

#include "fuzz.h"

static enum proxy_protocol_result parse(struct str bytes, struct proxy_protocol *header, size_t *length) {
  struct str copy = fuzz_copy(bytes.ptr, bytes.len);
  enum proxy_protocol_result result = proxy_protocol_parse(copy.ptr, copy.len, header, length);
  free((char *)copy.ptr);
  return result;
}

static bool is_same(const struct proxy_protocol *a, const struct proxy_protocol *b) {
  return a->source_length == b->source_length && a->destination_length == b->destination_length &&
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
  return 0;
}
