// SPDX-License-Identifier: Apache-2.0
// Fuzz driver: response heads. The first byte picks the request's method. What is accepted is clean, its end
// is not in doubt, and what is written of it reads back as the same response.
#include "fuzz.h"
#include "http/framing.h"
#include "http/writer.h"

static void require_sound(const struct response *r, enum method method) {
  unsigned lengths = headers_count_id(&r->headers, FIELD_CONTENT_LENGTH);
  unsigned codings = headers_count_id(&r->headers, FIELD_TRANSFER_ENCODING);
  fuzz_require_valid(&r->headers, &fuzz_limits[0]);
  REQUIRE(r->status >= 100 && r->status <= 599);
  bool tunnel = r->status == 101 || (method == METHOD_CONNECT && r->status / 100 == 2 && r->status != 204);
  bool bodiless = r->status < 200 || r->status == 204 || r->status == 304 || method == METHOD_HEAD;
  REQUIRE((r->body.framing == FRAMING_TUNNEL) == tunnel);
  REQUIRE((r->body.framing == FRAMING_NONE) == (bodiless && !tunnel));
  REQUIRE(r->body.framing != FRAMING_CLOSE || (!lengths && !codings));
  REQUIRE(r->body.framing != FRAMING_LENGTH || (lengths && !codings));
  REQUIRE(r->body.framing != FRAMING_CHUNKED || (codings == 1 && !lengths && r->minor == 1));
  REQUIRE(!r->keep_alive || (r->body.framing != FRAMING_CLOSE && r->body.framing != FRAMING_TUNNEL));
  REQUIRE(r->status == 426 || (r->status == 101) == (r->upgrade.len > 0));
}

static void require_round_trip(struct response *r, enum method method, struct arena *arena) {
  struct response again;
  framing_strip_response(r);
  for (unsigned i = 0; i < r->headers.count; i++) REQUIRE(!framing_is_hop_field(r->headers.items[i].id));
  struct writer_hop hop = {.close = !r->keep_alive && r->status != 101, .upgrade = r->upgrade};
  struct str head = writer_response(arena, r, r->announced, &hop);
  struct parser_limits wide = {.head_bytes = 1 << 20, .fields = 200};
  struct fuzz_verdict verdict = fuzz_scan(head_scan_response, head, &wide);
  REQUIRE(verdict.result == HEAD_WHOLE && verdict.length == head.len);
  REQUIRE(parser_response(head, arena, &wide, method, &again, NULL) == ERROR_NONE);
  framing_strip_response(&again);
  REQUIRE(r->status == again.status && r->keep_alive == again.keep_alive);
  REQUIRE(str_equal(r->reason.len ? r->reason : status_reason(r->status), again.reason));
  REQUIRE(str_equal(r->upgrade, again.upgrade));
  REQUIRE(r->body.framing == again.body.framing && r->body.length == again.body.length);
  REQUIRE(r->announced.framing == again.announced.framing && r->announced.length == again.announced.length);
  fuzz_require_same(&r->headers, &again.headers);
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
    enum error error = parser_response(head, &arena, &fuzz_limits[0], method, &response, NULL);
    REQUIRE(error == ERROR_NONE || error == ERROR_BAD_RESPONSE);
    if (error == ERROR_NONE) require_sound(&response, method);
    if (error == ERROR_NONE) require_round_trip(&response, method, &arena);
    arena_free(&arena);
    free((char *)head.ptr);
  }
  parser_response(input, &arena, &fuzz_limits[0], method, &response, NULL);
  arena_free(&arena);
  free((char *)input.ptr);
  return 0;
}
