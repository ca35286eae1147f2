// SPDX-License-Identifier: Apache-2.0
// Units for http/grpc (grpc/doc/PROTOCOL-HTTP2.md).
#include "http/grpc.h"

#include "heads.h"
#include "unit.h"

static bool is_grpc(const char *lines, bool is_http2) {
  struct request request = {.is_http2 = is_http2, .headers = heads_fields(lines)};
  bool is = grpc_is_request(&request);
  heads_free();
  return is;
}

IT("knows gRPC by its media type, over HTTP/2") {
  CHECK(is_grpc("Content-Type: application/grpc", true) && is_grpc("content-type: Application/gRPC", true));
  CHECK(is_grpc("Content-Type: application/grpc+proto", true) &&
        is_grpc("Content-Type: application/grpc;a=b", true));
  CHECK(!is_grpc("Content-Type: application/grpc", false));
  CHECK(!is_grpc("Content-Type: application/grpc-web", true) &&
        !is_grpc("Content-Type: application/grpc-web+proto", true));
  CHECK(!is_grpc("Content-Type: application/grp", true) && !is_grpc("Content-Type: text/plain", true) &&
        !is_grpc("", true));
}

/* -1: it is no timeout. */
static int64_t ms_of(const char *text) {
  uint64_t ms;
  return grpc_timeout_ms(str_of(text), &ms) ? (int64_t)ms : -1;
}

IT("reads a timeout in each unit, rounded up to milliseconds") {
  CHECK(ms_of("1H") == 3600000 && ms_of("2M") == 120000 && ms_of("3S") == 3000 && ms_of("4m") == 4);
  CHECK(ms_of("1u") == 1 && ms_of("1000u") == 1 && ms_of("1001u") == 2 && ms_of("1n") == 1 &&
        ms_of("2000000n") == 2);
  CHECK(ms_of("0S") == 0 && ms_of("00000005S") == 5000 && ms_of("99999999H") == INT64_C(359999996400000));
}

IT("takes nothing else for a timeout") {
  static const char *const wrong[] = {"",    "S",   "5",    "5s",         "5h",  "5 S",
                                      "-5S", "+5S", "5.5S", "123456789S", "5SS", " 5S"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) CHECK(ms_of(wrong[i]) == -1);
}

IT("says an HTTP status as the table of gRPC does (http-grpc-status-mapping.md)") {
  CHECK(grpc_status_of(400) == 13 && grpc_status_of(401) == 16 && grpc_status_of(403) == 7);
  CHECK(grpc_status_of(404) == 12 && grpc_status_of(429) == 14 && grpc_status_of(502) == 14);
  CHECK(grpc_status_of(503) == 14 && grpc_status_of(504) == 14);
  CHECK(grpc_status_of(500) == 2 && grpc_status_of(413) == 2 && grpc_status_of(418) == 2);
}

IT("encodes a message so that it is visible ASCII") {
  struct arena arena;
  arena_init(&arena);
  CHECK(str_equal(grpc_message(&arena, STR("502 Bad Gateway")), STR("502 Bad Gateway")));
  CHECK(str_equal(grpc_message(&arena, STR("100%\n\xc3\xa4\x7f")), STR("100%25%0A%C3%A4%7F")));
  CHECK(grpc_message(&arena, STR("")).len == 0);
  arena_free(&arena);
}
