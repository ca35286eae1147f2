// SPDX-License-Identifier: Apache-2.0
// Units for http/framing, requests: where a body ends, and what becomes of the connection.
#include "http/framing.h"

#include <stdio.h>

#include "heads.h"
#include "http/upgrade.h"
#include "unit.h"

#define HEAD "POST / HTTP/1.1\r\nHost: a\r\n"
#define OLD  "POST / HTTP/1.0\r\nHost: a\r\n"

static struct request request_of(struct str head) {
  struct request request = {0};
  CHECK(request_read(head, &default_limits, &request) == ERROR_NONE);
  heads_free();
  return request;
}
#define OF(text) request_of(STR(text))

static bool has_length(struct request request, uint64_t length) {
  return request.body.framing == FRAMING_LENGTH && request.body.length == length;
}

IT("gives a request without framing fields no body (RFC 9112 section 6.3)") {
  CHECK(OF(HEAD "\r\n").body.framing == FRAMING_NONE);
  CHECK(OF(OLD "\r\n").body.framing == FRAMING_NONE);
}

IT("takes a Content-Length of digits only (RFC 9110 section 8.6)") {
  CHECK(has_length(OF(HEAD "Content-Length: 0\r\n\r\n"), 0));
  CHECK(has_length(OF(HEAD "content-length:\t42 \r\n\r\n"), 42));
  CHECK(has_length(OF(HEAD "Content-Length: 007\r\n\r\n"), 7));
  CHECK(has_length(OF(HEAD "Content-Length: 9223372036854775807\r\n\r\n"), INT64_MAX));
}

IT("refuses any other Content-Length (RFC 9112 section 6.3)") {
  CHECK(REQUEST(HEAD "Content-Length:\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Content-Length: +5\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Content-Length: -5\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Content-Length: 0x5\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Content-Length: 5 5\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Content-Length: 5.0\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Content-Length: 5;\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Content-Length: \"5\"\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Content-Length: 1_0\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Content-Length: five\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Content-Length: \xb2\r\n\r\n") == ERROR_BAD_FRAMING);
}

IT("refuses a Content-Length that no integer holds (RFC 9110 section 8.6)") {
  CHECK(REQUEST(HEAD "Content-Length: 9223372036854775808\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Content-Length: 18446744073709551616\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Content-Length: 18446744073709551621\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Content-Length: 99999999999999999999999999999999\r\n\r\n") == ERROR_BAD_FRAMING);
}

IT("takes equal repeated lengths as one (RFC 9110 section 8.6)") {
  CHECK(has_length(OF(HEAD "Content-Length: 5\r\nContent-Length: 5\r\n\r\n"), 5));
  CHECK(has_length(OF(HEAD "Content-Length: 5 , 5\r\n\r\n"), 5));
}

IT("refuses lengths that differ, in value or only in text (RFC 9112 section 6.3)") {
  CHECK(REQUEST(HEAD "Content-Length: 5\r\nContent-Length: 6\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Content-Length: 5\r\nX: y\r\ncontent-length: 6\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Content-Length: 5, 6\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Content-Length: 5, 05\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Content-Length: 5,\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Content-Length: ,5\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Content-Length: 5\r\nContent-Length:\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Content-Length:\r\nContent-Length: 5\r\n\r\n") == ERROR_BAD_FRAMING);
}

IT("takes exactly one chunked, in any case (RFC 9112 section 6.1)") {
  CHECK(OF(HEAD "Transfer-Encoding: chunked\r\n\r\n").body.framing == FRAMING_CHUNKED);
  CHECK(OF(HEAD "transfer-encoding:\t CHUNKED \r\n\r\n").body.framing == FRAMING_CHUNKED);
}

IT("refuses a request whose last transfer coding is not chunked (RFC 9112 section 6.3)") {
  CHECK(REQUEST(HEAD "Transfer-Encoding: gzip\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Transfer-Encoding: identity\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Transfer-Encoding: chunked, gzip\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n") ==
        ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Transfer-Encoding: xchunked\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Transfer-Encoding: chunkedx\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Transfer-Encoding: chunk\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Transfer-Encoding:\r\n\r\n") == ERROR_BAD_FRAMING);
}

IT("refuses chunked twice, with parameters, quoted, or beside empty members (RFC 9112 sections 6.1 and 7)") {
  CHECK(REQUEST(HEAD "Transfer-Encoding: chunked, chunked\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n") ==
        ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Transfer-Encoding: chunked;q=1\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Transfer-Encoding: chunked;\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Transfer-Encoding: \"chunked\"\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Transfer-Encoding: chunked,\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Transfer-Encoding: , chunked\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Transfer-Encoding: chunked chunked\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Transfer-Encoding: gzip chunked\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Transfer-Encoding: a;b=\"x, chunked\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Transfer-Encoding: a;b=\", chunked\", chunked\r\n\r\n") == ERROR_BAD_FRAMING);
}

IT("answers an unknown coding under chunked with 501 (RFC 9112 section 6.1)") {
  CHECK(REQUEST(HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n") == ERROR_CODING_UNKNOWN);
  CHECK(REQUEST(HEAD "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n") ==
        ERROR_CODING_UNKNOWN);
  CHECK(REQUEST(HEAD "Transfer-Encoding: foo;p=1, Chunked\r\n\r\n") == ERROR_CODING_UNKNOWN);
}

IT("refuses Content-Length beside Transfer-Encoding, in either order (RFC 9112 section 6.3)") {
  CHECK(REQUEST(HEAD "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(HEAD "Transfer-Encoding: gzip, chunked\r\nContent-Length: 5\r\n\r\n") == ERROR_BAD_FRAMING);
}

IT("refuses Transfer-Encoding in HTTP/1.0 (RFC 9112 section 6.1)") {
  CHECK(REQUEST(OLD "Transfer-Encoding: chunked\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST(OLD "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n") == ERROR_BAD_FRAMING);
}

IT("takes a body in any method but TRACE and CONNECT (RFC 9110 section 9.3)") {
  CHECK(has_length(OF("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"), 5));
  CHECK(has_length(OF("TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"), 0));
  CHECK(REQUEST("TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST("CONNECT a:1 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n") == ERROR_BAD_FRAMING);
  CHECK(REQUEST("CONNECT a:1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n") ==
        ERROR_BAD_FRAMING);
}

IT("keeps HTTP/1.1 connections unless they are to close (RFC 9112 section 9.3)") {
  CHECK(OF(HEAD "\r\n").keep_alive);
  CHECK(OF(HEAD "Connection: x, Keep-Alive\r\n\r\n").keep_alive);
  CHECK(!OF(HEAD "Connection: Close\r\n\r\n").keep_alive);
  CHECK(!OF(HEAD "Connection: keep-alive, ,close\r\n\r\n").keep_alive);
  CHECK(!OF(HEAD "Connection: keep-alive\r\nConnection: x,close\r\n\r\n").keep_alive);
  CHECK(OF(HEAD "Connection: closed\r\n\r\n").keep_alive);
}

IT("keeps no HTTP/1.0 connection, as a proxy must not (RFC 9112 section 9.3)") {
  CHECK(!OF(OLD "\r\n").keep_alive);
  CHECK(!OF(OLD "Connection: keep-alive\r\n\r\n").keep_alive);
}

IT("expects 100-continue where a body follows (RFC 9110 section 10.1.1)") {
  CHECK(OF(HEAD "Expect: 100-Continue\r\nContent-Length: 5\r\n\r\n").expects_continue);
  CHECK(OF(HEAD "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n").expects_continue);
  CHECK(!OF(HEAD "Expect: 100-continue\r\n\r\n").expects_continue);
  CHECK(!OF(HEAD "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n").expects_continue);
  CHECK(!OF(HEAD "Expect:\r\nContent-Length: 5\r\n\r\n").expects_continue);
}

IT("refuses another expectation with 417, but ignores any in HTTP/1.0 (RFC 9110 section 10.1.1)") {
  CHECK(REQUEST(HEAD "Expect: 200-ok\r\n\r\n") == ERROR_EXPECTATION_FAILED);
  CHECK(REQUEST(HEAD "Expect: 100-continue, x\r\nContent-Length: 5\r\n\r\n") == ERROR_EXPECTATION_FAILED);
  CHECK(REQUEST(HEAD "Expect: 100-continue=1\r\n\r\n") == ERROR_EXPECTATION_FAILED);
  CHECK(!OF(OLD "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n").expects_continue);
  CHECK(!OF(OLD "Expect: x\r\nContent-Length: 5\r\n\r\n").expects_continue);
}

static bool passes(struct str head, const char *protocols) {
  struct request request = {0};
  CHECK(request_read(head, &default_limits, &request) == ERROR_NONE);
  bool are_same = str_equal(request.upgrade, str_of(protocols));
  heads_free();
  return are_same;
}
#define PASSES(fields, protocols) passes(STR(HEAD "Connection: upgrade\r\n" fields "\r\n"), protocols)

IT("hears an Upgrade that Connection nominates, with and without a body (RFC 9110 section 7.8)") {
  struct request request;
  struct str head =
      STR("GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n");
  CHECK(request_read(head, &default_limits, &request) == ERROR_NONE);
  CHECK_STR(request.upgrade, "websocket");
  heads_free();
  CHECK(request.keep_alive);
  CHECK(!OF(HEAD "Upgrade: websocket\r\n\r\n").upgrade.len);
  CHECK(!OF(HEAD "Connection: upgrade\r\n\r\n").upgrade.len);
  CHECK(!OF(OLD "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n").upgrade.len);
  CHECK(PASSES("Upgrade: tcp\r\nContent-Length: 5\r\n", "tcp"));
  CHECK(PASSES("Upgrade: tcp\r\nTransfer-Encoding: chunked\r\n", "tcp"));
  CHECK(OF(HEAD "Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n\r\n").upgrade.len);
}

IT("passes on what can be tunnelled of an Upgrade, and not HTTP/2 (RFC 9113 section 3.1)") {
  CHECK(!OF(HEAD "Connection: upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n")
             .upgrade.len);
  CHECK(PASSES("Upgrade: websocket, H2C\r\n", "websocket"));
  CHECK(PASSES("Upgrade: h2c , a/1, HTTP/2.0,b\r\n", "a/1, b"));
  CHECK(PASSES("Upgrade: HTTP/2.0\r\n", ""));
  CHECK(PASSES("Upgrade: websocket\r\nUpgrade: h2c\r\nUpgrade: tcp\r\n", "websocket, tcp"));
  CHECK(PASSES("Upgrade: web socket, tcp\r\n", "tcp"));
  CHECK(PASSES("Upgrade: web socket\r\n", ""));
  CHECK(PASSES("Upgrade: , ,\r\n", ""));
  CHECK(PASSES("Upgrade:\r\n", ""));
  CHECK(PASSES("Upgrade: IRC/6.9, RTA/x11\r\n", "IRC/6.9, RTA/x11"));
}

/* Why, and the protocol; "" where nothing is refused. */
static const char *refused(struct str head) {
  static char text[256];
  struct request request = {0};
  struct str protocol = {0};
  CHECK(request_read(head, &default_limits, &request) == ERROR_NONE);
  const char *why = upgrade_refusal(&request, &protocol);
  snprintf(text, sizeof text, "%.*s: %s", STR_ARG(protocol), why ? why : "");
  heads_free();
  return why ? text : "";
}
#define REFUSED(fields, part) (strstr(refused(STR(HEAD fields "\r\n")), part) != NULL)

IT("says of each protocol that is not passed on why, and nothing of others") {
  CHECK(refused(STR(HEAD "Connection: upgrade\r\nUpgrade: a, b\r\n\r\n"))[0] == '\0');
  CHECK(refused(STR(HEAD "Connection: upgrade\r\n\r\n"))[0] == '\0');
  CHECK(refused(STR(HEAD "\r\n"))[0] == '\0');
  CHECK(REFUSED("Upgrade: a\r\n", "a: Connection does not"));
  CHECK(REFUSED("Connection: upgrade\r\nUpgrade: a, h2c\r\n", "h2c: versions of HTTP"));
  CHECK(REFUSED("Connection: upgrade\r\nUpgrade: a\r\nUpgrade: b c\r\n", "b c: it is no protocol's name"));
  CHECK(strstr(refused(STR(OLD "Connection: upgrade\r\nUpgrade: a\r\n\r\n")), "HTTP/1.0 has no Upgrade"));
}

IT("takes a switch to what was offered, to one protocol at least, and to few (RFC 9110 section 7.8)") {
  CHECK(upgrade_is_offered(STR("a, b/1"), STR("B/1")));
  CHECK(upgrade_is_offered(STR("a, b/1"), STR("b/1, A")));
  CHECK(!upgrade_is_offered(STR("a, b/1"), STR("b")));
  CHECK(!upgrade_is_offered(STR("a"), STR("a, b")));
  CHECK(!upgrade_is_offered(STR("a"), STR(" , ")));
  CHECK(!upgrade_is_offered(STR(""), STR("a")));
  CHECK(!upgrade_is_offered(STR("a"), STR("a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a")));
}

IT("hears from TE whether trailers are welcome (RFC 9110 section 10.1.4)") {
  CHECK(OF(HEAD "TE: trailers\r\nConnection: TE\r\n\r\n").accepts_trailers);
  CHECK(OF(HEAD "TE: gzip;q=0.5, Trailers\r\nConnection: TE\r\n\r\n").accepts_trailers);
  CHECK(!OF(HEAD "TE: gzip\r\nConnection: TE\r\n\r\n").accepts_trailers);
  CHECK(!OF(HEAD "TE: trailers\r\n\r\n").accepts_trailers);
  CHECK(!OF(OLD "TE: trailers\r\nConnection: TE\r\n\r\n").accepts_trailers);
}

IT("reads Max-Forwards of TRACE and OPTIONS only (RFC 9110 section 7.6.2)") {
  struct request request = OF("OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 3\r\n\r\n");
  CHECK(request.has_max_forwards && request.max_forwards == 3);
  request = OF("TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n");
  CHECK(request.has_max_forwards && request.max_forwards == 0);
  CHECK(!OF("TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: x\r\n\r\n").has_max_forwards);
  CHECK(!OF("TRACE / HTTP/1.1\r\nHost: a\r\n\r\n").has_max_forwards);
  CHECK(!OF(HEAD "Max-Forwards: 3\r\n\r\n").has_max_forwards);
}

IT("refuses more connection options than anybody needs") {
  char head[2048] = HEAD "Connection: ";
  for (int i = 0; i < CONNECTION_OPTIONS; i++) strcat(head, "a,");
  size_t length = strlen(head);
  strcpy(head + length, "\r\n\r\n");
  CHECK(request_error(str_of(head)) == ERROR_NONE);
  strcpy(head + length, "a\r\n\r\n");
  CHECK(request_error(str_of(head)) == ERROR_BAD_REQUEST);
}
