// SPDX-License-Identifier: Apache-2.0
// Units for http/framing, responses.
#include "heads.h"
#include "http/framing.h"
#include "unit.h"

static struct response response_to(enum method method, struct str head) {
  struct response response = {0};
  CHECK(response_read(head, method, &response) == ERROR_NONE);
  heads_free();
  return response;
}
#define TO(method, text) response_to(METHOD_##method, STR(text))
#define OK               "HTTP/1.1 200 OK\r\n"
#define OLD_OK           "HTTP/1.0 200 OK\r\n"

IT("finds a response's end by length, chunks, or the connection's end (RFC 9112 section 6.3)") {
  struct response response = TO(GET, OK "Content-Length: 5\r\n\r\n");
  CHECK(response.body.framing == FRAMING_LENGTH && response.body.length == 5);
  CHECK(response.announced.framing == FRAMING_LENGTH && response.announced.length == 5);
  CHECK(TO(GET, OK "Transfer-Encoding: Chunked\r\n\r\n").body.framing == FRAMING_CHUNKED);
  CHECK(TO(GET, OK "\r\n").body.framing == FRAMING_CLOSE);
  CHECK(TO(POST, OLD_OK "\r\n").body.framing == FRAMING_CLOSE);
  CHECK(TO(GET, OK "Content-Length: 5, 5\r\n\r\n").body.length == 5);
}

IT("gives HEAD, 304, 204 and 1xx no body, whatever their fields say (RFC 9112 section 6.3)") {
  CHECK(TO(HEAD, OK "Content-Length: 5\r\n\r\n").body.framing == FRAMING_NONE);
  CHECK(TO(HEAD, OK "Transfer-Encoding: chunked\r\n\r\n").body.framing == FRAMING_NONE);
  CHECK(TO(HEAD, OK "\r\n").body.framing == FRAMING_NONE);
  CHECK(TO(GET, "HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n").body.framing == FRAMING_NONE);
  CHECK(TO(GET, "HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n").body.framing == FRAMING_NONE);
  CHECK(TO(GET, "HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n").body.framing == FRAMING_NONE);
  CHECK(TO(GET, "HTTP/1.1 100 x\r\nContent-Length: 5\r\n\r\n").body.framing == FRAMING_NONE);
  CHECK(TO(GET, "HTTP/1.1 103 x\r\nTransfer-Encoding: chunked\r\n\r\n").body.framing == FRAMING_NONE);
}

IT("tells the length that HEAD and 304 announce, so that it can be passed on (RFC 9110 section 8.6)") {
  struct response response = TO(HEAD, OK "Content-Length: 5\r\n\r\n");
  CHECK(response.announced.framing == FRAMING_LENGTH && response.announced.length == 5);
  response = TO(GET, "HTTP/1.1 304 x\r\nContent-Length: 0\r\n\r\n");
  CHECK(response.announced.framing == FRAMING_LENGTH && response.announced.length == 0);
  CHECK(TO(HEAD, OK "\r\n").announced.framing == FRAMING_NONE);
  CHECK(TO(HEAD, OK "Transfer-Encoding: chunked\r\n\r\n").announced.framing == FRAMING_NONE);
}

IT("does not use a connection again whose bodiless response spoke of a body") {
  CHECK(!TO(GET, "HTTP/1.1 204 x\r\nContent-Length: 5\r\n\r\n").keep_alive);
  CHECK(!TO(GET, "HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n").keep_alive);
  CHECK(TO(GET, "HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n").keep_alive);
  CHECK(TO(GET, "HTTP/1.1 204 x\r\n\r\n").keep_alive);
  CHECK(TO(HEAD, OK "Content-Length: 5\r\n\r\n").keep_alive);
}

IT("refuses a response whose end is in doubt (RFC 9112 section 6.3)") {
  CHECK(RESPONSE(OK "Content-Length: 5\r\nContent-Length: 6\r\n\r\n") == ERROR_BAD_RESPONSE);
  CHECK(RESPONSE(OK "Content-Length: +5\r\n\r\n") == ERROR_BAD_RESPONSE);
  CHECK(RESPONSE(OK "Content-Length:\r\n\r\n") == ERROR_BAD_RESPONSE);
  CHECK(RESPONSE(OK "Content-Length: 99999999999999999999\r\n\r\n") == ERROR_BAD_RESPONSE);
  CHECK(RESPONSE(OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n") == ERROR_BAD_RESPONSE);
  CHECK(RESPONSE(OK "Transfer-Encoding: gzip\r\n\r\n") == ERROR_BAD_RESPONSE);
  CHECK(RESPONSE(OK "Transfer-Encoding: gzip, chunked\r\n\r\n") == ERROR_BAD_RESPONSE);
  CHECK(RESPONSE(OK "Transfer-Encoding: chunked, chunked\r\n\r\n") == ERROR_BAD_RESPONSE);
  CHECK(RESPONSE(OK "Transfer-Encoding:\r\n\r\n") == ERROR_BAD_RESPONSE);
  CHECK(RESPONSE(OLD_OK "Transfer-Encoding: chunked\r\n\r\n") == ERROR_BAD_RESPONSE);
  CHECK(response_error(STR(OK "Content-Length: 5, 6\r\n\r\n"), METHOD_HEAD) == ERROR_BAD_RESPONSE);
}

IT("keeps a connection by the rules of the response's version (RFC 9112 section 9.3)") {
  CHECK(TO(GET, OK "Content-Length: 5\r\n\r\n").keep_alive);
  CHECK(!TO(GET, OK "Content-Length: 5\r\nConnection: close\r\n\r\n").keep_alive);
  CHECK(!TO(GET, OLD_OK "Content-Length: 5\r\n\r\n").keep_alive);
  CHECK(TO(GET, OLD_OK "Content-Length: 5\r\nConnection: keep-alive\r\n\r\n").keep_alive);
  CHECK(!TO(GET, OLD_OK "Content-Length: 5\r\nConnection: keep-alive, close\r\n\r\n").keep_alive);
  CHECK(!TO(GET, OK "\r\n").keep_alive);
  CHECK(!TO(GET, OLD_OK "Connection: keep-alive\r\n\r\n").keep_alive);
}

IT("makes a tunnel of a 2xx to CONNECT, ignoring its framing fields (RFC 9110 section 9.3.6)") {
  CHECK(TO(CONNECT, OK "\r\n").body.framing == FRAMING_TUNNEL);
  CHECK(TO(CONNECT, OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n").body.framing ==
        FRAMING_TUNNEL);
  CHECK(!TO(CONNECT, OK "\r\n").keep_alive);
  CHECK(TO(CONNECT, "HTTP/1.1 403 x\r\nContent-Length: 5\r\n\r\n").body.framing == FRAMING_LENGTH);
}

IT("makes a tunnel of a 101 that names its protocol (RFC 9110 section 15.2.2)") {
  struct response response;
  struct str head = STR("HTTP/1.1 101 x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
  CHECK(response_read(head, METHOD_GET, &response) == ERROR_NONE);
  CHECK(response.body.framing == FRAMING_TUNNEL);
  CHECK_STR(response.upgrade, "websocket");
  CHECK(!response.keep_alive);
  heads_free();
  CHECK(RESPONSE("HTTP/1.1 101 x\r\nConnection: Upgrade\r\n\r\n") == ERROR_BAD_RESPONSE);
  CHECK(RESPONSE("HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n") == ERROR_BAD_RESPONSE);
}
