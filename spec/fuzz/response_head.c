// SPDX-License-Identifier: Apache-2.0
// Fuzz driver: response heads. The first byte picks the request's method. What is accepted is clean, its end
// is not in doubt, and what is written of it reads back as the same response. So it is with each deviation that a peer
// may be allowed (http/lenient.h): what is written is strict, whatever was read.
#include "fuzz.h"
#include "http/framing.h"
#include "http/lenient.h"
#include "http/writer.h"

static void require_sound(const struct response *r, enum method method, unsigned lenient) {
  unsigned lengths = headers_count_id(&r->headers, FIELD_CONTENT_LENGTH);
  unsigned codings = headers_count_id(&r->headers, FIELD_TRANSFER_ENCODING);
  struct parser_limits limits = fuzz_limits[0];
  if (lenient & LENIENT_MANY_FIELDS) limits.fields = LENIENT_FIELDS;
  fuzz_require_valid(&r->headers, &limits);
  REQUIRE(r->status >= 100 && r->status <= lenient_status_most(lenient));
  bool tunnel = r->status == 101 || (method == METHOD_CONNECT && r->status / 100 == 2 && r->status != 204);
  bool bodiless = r->status < 200 || r->status == 204 || r->status == 304 || method == METHOD_HEAD;
  REQUIRE((r->body.framing == FRAMING_TUNNEL) == tunnel);
  REQUIRE((r->body.framing == FRAMING_NONE) == (bodiless && !tunnel));
  REQUIRE(r->body.framing != FRAMING_CLOSE || (!lengths && !codings));
  REQUIRE(r->body.framing != FRAMING_LENGTH || (lengths && !codings));
  REQUIRE(r->body.framing != FRAMING_CHUNKED || (codings == 1 && r->minor == 1));
  bool has_both = r->body.framing == FRAMING_CHUNKED && lengths;
  REQUIRE(!has_both || (lenient & LENIENT_BOTH_LENGTHS && !r->keep_alive));
  REQUIRE(!r->keep_alive || (r->body.framing != FRAMING_CLOSE && r->body.framing != FRAMING_TUNNEL));
  REQUIRE(r->status == 426 || (r->status == 101) == (r->upgrade.len > 0));
}

static void require_round_trip(struct response *r, enum method method, struct arena *arena) {
  struct response again;
  framing_strip_response(r);
  for (unsigned i = 0; i < r->headers.count; i++) REQUIRE(!framing_is_hop_field(r->headers.items[i].id));
  struct writer_hop hop = {.close = !r->keep_alive && r->status != 101, .upgrade = r->upgrade};
  struct str head = writer_response(arena, r, r->announced, &hop);
  struct parser_limits wide = {.head_bytes = 1 << 20, .fields = 2000, .lenient = LENIENT_ODD_STATUS};
  struct fuzz_verdict verdict = fuzz_scan(head_scan_response, head, &wide);
  REQUIRE(verdict.result == HEAD_WHOLE && verdict.length == head.len);
  REQUIRE(parser_response(&(struct head){.text = head}, arena, &wide, method, &again, NULL) == ERROR_NONE);
  framing_strip_response(&again);
  REQUIRE(r->status == again.status && r->keep_alive == again.keep_alive);
  REQUIRE(str_equal(r->reason.len ? r->reason : status_reason(r->status), again.reason));
  REQUIRE(str_equal(r->upgrade, again.upgrade));
  REQUIRE(r->body.framing == again.body.framing && r->body.length == again.body.length);
  REQUIRE(r->announced.framing == again.announced.framing && r->announced.length == again.announced.length);
  fuzz_require_same(&r->headers, &again.headers);
}

/* What is read with these deviations. Where it is read without them, too, it is the same. */
static void read_leniently(struct str input, enum method method, unsigned lenient,
                           const struct response *strict) {
  struct arena arena = {0};
  struct parser_limits limits = fuzz_limits[0];
  struct response response;
  limits.lenient = lenient;
  struct fuzz_verdict verdict = fuzz_scan(head_scan_response, input, &limits);
  REQUIRE(!strict || verdict.result == HEAD_WHOLE);
  if (verdict.result != HEAD_WHOLE) return;
  struct str head = fuzz_copy(input.ptr, verdict.length);
  const struct head scanned = {head, verdict.line};
  bool is_read = parser_response(&scanned, &arena, &limits, method, &response, NULL) == ERROR_NONE;
  REQUIRE(!strict ||
          (is_read && response.status == strict->status && response.body.framing == strict->body.framing &&
           response.body.length == strict->body.length));
  if (strict) fuzz_require_same(&response.headers, &strict->headers);
  if (is_read) require_sound(&response, method, lenient);
  if (is_read) require_round_trip(&response, method, &arena);
  arena_free(&arena);
  free((char *)head.ptr);
}

static void read_all_ways(struct str input, enum method method, unsigned chosen,
                          const struct response *strict) {
  enum { ALL = (1 << LENIENT_BITS) - 1 };
  read_leniently(input, method, LENIENT_DEFAULT, strict);
  read_leniently(input, method, ALL, strict);
  read_leniently(input, method, chosen & ALL, strict);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const enum method methods[] = {METHOD_GET, METHOD_HEAD, METHOD_CONNECT};
  if (size == 0) return 0;
  enum method method = methods[data[0] % 3];
  struct str input = fuzz_copy(data + 1, size - 1);
  struct arena arena = {0};
  struct response response;
  fuzz_scan(head_scan_response, input, &fuzz_limits[1]);
  struct fuzz_verdict verdict = fuzz_scan(head_scan_response, input, &fuzz_limits[0]);
  REQUIRE(verdict.error == ERROR_NONE || verdict.error == ERROR_BAD_RESPONSE);
  if (verdict.result == HEAD_WHOLE) {
    struct str head = fuzz_copy(input.ptr, verdict.length);
    fuzz_require_clean(head, 0);
    const struct head scanned = {head, verdict.line};
    enum error error = parser_response(&scanned, &arena, &fuzz_limits[0], method, &response, NULL);
    REQUIRE(error == ERROR_NONE || error == ERROR_BAD_RESPONSE);
    if (error == ERROR_NONE) require_sound(&response, method, 0);
    read_all_ways(input, method, data[0], error == ERROR_NONE ? &response : NULL);
    if (error == ERROR_NONE) require_round_trip(&response, method, &arena);
    arena_free(&arena);
    free((char *)head.ptr);
  } else {
    read_all_ways(input, method, data[0], NULL);
  }
  parser_response(&(struct head){.text = input}, &arena, &fuzz_limits[0], method, &response, NULL);
  arena_free(&arena);
  free((char *)input.ptr);
  return 0;
}
