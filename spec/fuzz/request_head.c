// SPDX-License-Identifier: Apache-2.0
// Fuzz driver: request heads. What is accepted is clean, is not in doubt about its end, and is written so
// that we and a stock llhttp read the same request from it.
#include <llhttp.h>

#include "fuzz.h"
#include "http/framing.h"
#include "http/host.h"
#include "http/writer.h"

static void require_sound(const struct request *r, const struct parser_limits *limits) {
  unsigned hosts = headers_count_id(&r->headers, FIELD_HOST);
  unsigned lengths = headers_count_id(&r->headers, FIELD_CONTENT_LENGTH);
  unsigned codings = headers_count_id(&r->headers, FIELD_TRANSFER_ENCODING);
  fuzz_require_valid(&r->headers, limits);
  REQUIRE(hosts == 1 || (hosts == 0 && r->minor == 0));
  REQUIRE(hosts == 0 || host_is_valid(r->authority));
  REQUIRE(hosts == 0 || str_equal(headers_find_id(&r->headers, FIELD_HOST)->value, r->authority));
  REQUIRE(lengths == 0 || codings == 0);
  REQUIRE((r->body.framing == FRAMING_LENGTH) == (lengths > 0));
  REQUIRE((r->body.framing == FRAMING_CHUNKED) == (codings == 1));
  REQUIRE(r->body.framing == FRAMING_NONE || lengths || codings);
  REQUIRE(r->minor == 1 || (!r->keep_alive && !r->expects_continue && !r->upgrade.len && !codings));
  bool asterisk = str_equal(r->target, STR("*")) && r->method == METHOD_OPTIONS;
  REQUIRE(r->target.len && (r->target.ptr[0] == '/' || asterisk || r->method == METHOD_CONNECT));
}

static int on_complete(llhttp_t *llhttp) {
  *(bool *)llhttp->data = true;
  return HPE_PAUSED;
}

/* The framing that a peer with a stock llhttp would see. */
static void require_same_framing(struct str head, const struct request *r) {
  llhttp_settings_t settings;
  llhttp_t llhttp;
  bool complete = false;
  llhttp_settings_init(&settings);
  settings.on_headers_complete = on_complete;
  llhttp_init(&llhttp, HTTP_REQUEST, &settings);
  llhttp.data = &complete;
  llhttp_errno_t result = llhttp_execute(&llhttp, head.ptr, head.len);
  if (result == HPE_INVALID_METHOD || r->method == METHOD_CONNECT) return;
  if (r->method == METHOD_OTHER && result != HPE_PAUSED) return; /* SOURCE and PRI have rules of their own */
  REQUIRE(result == HPE_PAUSED && complete);
  REQUIRE((r->body.framing == FRAMING_CHUNKED) == !!(llhttp.flags & F_CHUNKED));
  REQUIRE((r->body.framing == FRAMING_LENGTH) == !!(llhttp.flags & F_CONTENT_LENGTH));
  REQUIRE(r->body.framing != FRAMING_LENGTH || r->body.length == llhttp.content_length);
}

static void require_round_trip(struct request *r, struct arena *arena) {
  struct request again;
  framing_strip_request(r);
  for (unsigned i = 0; i < r->headers.count; i++) REQUIRE(!framing_is_hop_field(r->headers.items[i].id));
  struct writer_hop hop = {
      .close = !r->keep_alive, .te_trailers = r->accepts_trailers, .upgrade = r->upgrade};
  struct str head = writer_request(arena, r, r->body, &hop);
  if (!r->authority.len)
    return; /* HTTP/1.0 without Host: nobody can make it an HTTP/1.1 that we would take */
  struct parser_limits wide = {.head_bytes = 1 << 20, .target_bytes = 1 << 19, .fields = 200};
  struct fuzz_verdict verdict = fuzz_scan(head_scan_request, head, &wide);
  REQUIRE(verdict.result == HEAD_WHOLE && verdict.length == head.len);
  REQUIRE(parser_request(&(struct head){.text = head}, arena, &wide, &again, NULL) == ERROR_NONE);
  framing_strip_request(&again);
  REQUIRE(str_equal(r->method_name, again.method_name) && r->method == again.method);
  REQUIRE(str_equal(r->target, again.target) && str_equal(r->authority, again.authority));
  REQUIRE(r->body.framing == again.body.framing && r->body.length == again.body.length);
  REQUIRE(r->keep_alive == again.keep_alive && r->expects_continue == again.expects_continue);
  REQUIRE(r->accepts_trailers == again.accepts_trailers && str_equal(r->upgrade, again.upgrade));
  fuzz_require_same(&r->headers, &again.headers);
  require_same_framing(head, r);
}

/* Whatever a peer may do, a client may not. */
static void require_strict(struct str input, const struct parser_limits *limits,
                           struct fuzz_verdict verdict) {
  struct parser_limits lenient = *limits;
  lenient.lenient = ~0u;
  struct fuzz_verdict same = fuzz_scan(head_scan_request, input, &lenient);
  REQUIRE(same.result == verdict.result && same.error == verdict.error && same.length == verdict.length);
}

static void try_limits(struct str input, const struct parser_limits *limits) {
  struct arena arena = {0};
  struct request request;
  const char *why = NULL;
  struct fuzz_verdict verdict = fuzz_scan(head_scan_request, input, limits);
  require_strict(input, limits, verdict);
  if (verdict.result == HEAD_WHOLE) {
    struct str head = fuzz_copy(input.ptr, verdict.length);
    fuzz_require_clean(head, verdict.skipped);
    const struct head scanned = {str_from(head, verdict.skipped), verdict.line},
                      unscanned = {.text = scanned.text};
    REQUIRE(parser_request(&unscanned, &arena, limits, &request, NULL) ==
            parser_request(&scanned, &arena, limits, &request, &why));
    enum error error = parser_request(&scanned, &arena, limits, &request, &why);
    REQUIRE((error == ERROR_NONE) == (why == NULL));
    if (error == ERROR_NONE) require_sound(&request, limits);
    if (error == ERROR_NONE) require_round_trip(&request, &arena);
    arena_free(&arena);
    free((char *)head.ptr);
  }
  /* The parser must be safe, and no more lenient, without the scan. */
  if (parser_request(&(struct head){.text = input}, &arena, limits, &request, NULL) == ERROR_NONE)
    REQUIRE(verdict.result == HEAD_WHOLE ? verdict.length == input.len : input.len > limits->head_bytes);
  arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct str input = fuzz_copy(data, size);
  try_limits(input, &fuzz_limits[0]);
  try_limits(input, &fuzz_limits[1]);
  free((char *)input.ptr);
  return 0;
}
