// SPDX-License-Identifier: Apache-2.0
// Units for http/framing: the fields of one hop.
#include "heads.h"
#include "http/framing.h"
#include "unit.h"

/* The names that are left, each with a space behind it. */
static struct str names_of(const struct headers *h) {
  struct str names = STR("");
  for (unsigned i = 0; i < h->count; i++)
    names = arena_printf(heads_arena(), "%.*s%.*s ", STR_ARG(names), STR_ARG(h->items[i].name));
  return names;
}

static void check_request_left(const char *fields, const char *wanted) {
  struct request request;
  struct str head = arena_printf(heads_arena(), "POST / HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);
  if (!CHECK(request_read(head, &default_limits, &request) == ERROR_NONE)) return;
  framing_strip_request(&request);
  CHECK_STR(names_of(&request.headers), wanted);
  heads_free();
}

IT("removes the fields of one hop (RFC 9110 section 7.6.1)") {
  check_request_left(
      "Connection: close\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\n"
      "Transfer-Encoding: chunked\r\nUpgrade: x\r\nHTTP2-Settings: y\r\nA: b\r\n",
      "Host A ");
  check_request_left("Content-Length: 5\r\nA: b\r\nContent-Length: 5\r\n", "Host A ");
}

IT("removes each field that Connection nominates, in any case, from all Connection fields (RFC 9110 section "
   "7.6.1)") {
  check_request_left(
      "Connection: x-a,X-B\r\nX-A: 1\r\nX-C: 2\r\nx-b: 3\r\nx-A: 4\r\nConnection: , x-d\r\nX-D: 5\r\n",
      "Host X-C ");
  check_request_left("Connection: proxy-authorization\r\nProxy-Authorization: x\r\n", "Host ");
}

IT("keeps what a connection must not nominate: it is for every recipient (RFC 9110 section 7.6.1)") {
  check_request_left("Connection: Host, Content-Length\r\nContent-Length: 5\r\n", "Host ");
  check_request_left(
      "Connection: x-forwarded-for, forwarded, via\r\nX-Forwarded-For: 1\r\nForwarded: 2\r\nVia: 3\r\n",
      "Host X-Forwarded-For Forwarded Via ");
  check_request_left(
      "Connection: authorization, cookie, cache-control, content-type\r\nAuthorization: 1\r\nCookie: 2\r\n"
      "Cache-Control: 3\r\nContent-Type: 4\r\n",
      "Host Authorization Cookie Cache-Control Content-Type ");
}

IT("passes on what is for the next recipient, nominated by nobody (RFC 9110 section 11.7)") {
  check_request_left("Proxy-Authorization: x\r\nMax-Forwards: 1\r\nVia: y\r\n",
                     "Host Proxy-Authorization Max-Forwards Via ");
}

IT("passes Expect on only where a 100 may be asked for (RFC 9110 section 10.1.1)") {
  check_request_left("Expect: 100-continue\r\nContent-Length: 5\r\n", "Host Expect ");
  check_request_left("Expect: 100-continue\r\n", "Host ");
  struct request request;
  struct str old = STR("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
  CHECK(request_read(old, &default_limits, &request) == ERROR_NONE);
  framing_strip_request(&request);
  CHECK(request.headers.count == 0);
  heads_free();
}

IT("removes the fields of one hop from a response") {
  struct response response;
  struct str head =
      STR("HTTP/1.1 200 OK\r\nConnection: close, x-a\r\nX-A: 1\r\nTransfer-Encoding: chunked\r\nDate: x\r\n"
          "Trailer: y\r\nProxy-Authenticate: z\r\n\r\n");
  CHECK(response_read(head, METHOD_GET, &response) == ERROR_NONE);
  framing_strip_response(&response);
  CHECK_STR(names_of(&response.headers), "Date Trailer Proxy-Authenticate ");
  heads_free();
}

IT("lets no trailer through that would change framing, routing or access (RFC 9110 section 6.5.1)") {
  struct headers h;
  headers_init(&h, heads_arena());
  headers_add(&h, STR("X-Checksum"), STR("1"));
  headers_add(&h, STR("grpc-status"), STR("0"));
  unsigned allowed = h.count;
  headers_add(&h, STR("content-length"), STR("1"));
  headers_add(&h, STR("Transfer-Encoding"), STR("1"));
  headers_add(&h, STR("HOST"), STR("1"));
  headers_add(&h, STR("Set-Cookie"), STR("1"));
  headers_add(&h, STR("authorization"), STR("1"));
  headers_add(&h, STR("Content-Type"), STR("1"));
  headers_add(&h, STR("X-Forwarded-For"), STR("1"));
  for (unsigned i = 0; i < h.count; i++)
    CHECK(framing_trailer_is_allowed(&h.items[i], NULL) == (i < allowed));
  heads_free();
}
