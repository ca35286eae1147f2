// SPDX-License-Identifier: Apache-2.0
// Units for http/parser and http/line: first lines, field lines, trailers.
#include "http/parser.h"

#include "heads.h"
#include "unit.h"

static struct request parsed(struct str head) {
  struct request request = {0};
  CHECK(request_read(head, &default_limits, &request) == ERROR_NONE);
  return request;
}
#define PARSED(text) parsed(STR(text))

IT("takes a request apart") {
  struct request request =
      PARSED("POST /a?b=c HTTP/1.1\r\nHost: a.example:81\r\nX-Some:  two  words \t\r\n\r\n");
  CHECK_STR(request.method_name, "POST");
  CHECK(request.method == METHOD_POST);
  CHECK_STR(request.target, "/a?b=c");
  CHECK_STR(request.authority, "a.example:81");
  CHECK(request.minor == 1);
  CHECK(request.headers.count == 2);
  CHECK_STR(request.headers.items[1].name, "X-Some");
  CHECK_STR(request.headers.items[1].value, "two  words");
  heads_free();
}

IT("keeps repeated fields, their order and their spelling (RFC 9110 section 5.3)") {
  struct request request = PARSED("GET / HTTP/1.1\r\nx-A: 1\r\nHost: a\r\nX-a: 2\r\nx-A: 3\r\n\r\n");
  CHECK(request.headers.count == 4);
  CHECK_STR(request.headers.items[2].name, "X-a");
  CHECK_STR(request.headers.items[3].value, "3");
  heads_free();
}

IT("takes an empty value, and white space around a value or none (RFC 9112 section 5)") {
  struct request request = PARSED("GET / HTTP/1.1\r\nHost:a\r\nX:\r\nY: \t \r\nZ:\tz\t\r\n\r\n");
  CHECK_STR(request.headers.items[0].value, "a");
  CHECK_STR(request.headers.items[1].value, "");
  CHECK_STR(request.headers.items[2].value, "");
  CHECK_STR(request.headers.items[3].value, "z");
  heads_free();
}

IT("takes any token as a method, also those that llhttp does not know (RFC 9110 section 9.1)") {
  CHECK_STR(PARSED("BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n").method_name, "BREW");
  CHECK(PARSED("get / HTTP/1.1\r\nHost: a\r\n\r\n").method == METHOD_OTHER);
  CHECK_STR(PARSED("!#$%&'*+-.^_`|~09azAZ / HTTP/1.1\r\nHost: a\r\n\r\n").method_name,
            "!#$%&'*+-.^_`|~09azAZ");
  CHECK(PARSED("SOURCE / HTTP/1.1\r\nHost: a\r\n\r\n").method == METHOD_OTHER);
  CHECK(PARSED("M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n").method == METHOD_OTHER);
  heads_free();
}

IT("refuses a method that is no token") {
  CHECK(REQUEST("GE(T / HTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("G:T / HTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("\"GET\" / HTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST(" GET / HTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("/ HTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
}

IT("refuses white space other than two single spaces in the request line (RFC 9112 section 3)") {
  CHECK(REQUEST("GET  / HTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET /  HTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET / HTTP/1.1 \r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET /\tHTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET /\x0b HTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
}

IT("refuses a request line without target or version: there is no HTTP/0.9 here") {
  CHECK(REQUEST("GET\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET /\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET / \r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET HTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
}

IT("refuses a malformed version with 400 (RFC 9112 section 2.3)") {
  CHECK(REQUEST("GET / http/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET / Http/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET / HTTP/1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET / HTTP/1.\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET / HTTP/11\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET / HTTP/1.10\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET / HTTP/01.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET / HTTP/1,1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET / HTTP /1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET / HTTPS/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET / XTTP/1.1\r\nHost: a\r\n\r\n") == ERROR_BAD_REQUEST);
}

IT("refuses another major version with 505, the HTTP/2 preface included (RFC 9110 section 15.6.6)") {
  CHECK(REQUEST("GET / HTTP/2.0\r\nHost: a\r\n\r\n") == ERROR_VERSION_UNSUPPORTED);
  CHECK(REQUEST("GET / HTTP/0.9\r\nHost: a\r\n\r\n") == ERROR_VERSION_UNSUPPORTED);
  CHECK(REQUEST("GET / HTTP/3.1\r\nHost: a\r\n\r\n") == ERROR_VERSION_UNSUPPORTED);
  CHECK(REQUEST("GET / HTTP/9.9\r\nHost: a\r\n\r\n") == ERROR_VERSION_UNSUPPORTED);
  CHECK(REQUEST("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == ERROR_VERSION_UNSUPPORTED);
}

IT("serves a higher minor version as HTTP/1.1 (RFC 9110 section 2.5)") {
  CHECK(PARSED("GET / HTTP/1.2\r\nHost: a\r\n\r\n").minor == 1);
  CHECK(PARSED("GET / HTTP/1.9\r\nHost: a\r\n\r\n").minor == 1);
  CHECK(PARSED("GET / HTTP/1.0\r\n\r\n").minor == 0);
  heads_free();
}

IT("refuses a target with space, control, non-ASCII characters or a fragment (RFC 9112 section 3.2)") {
  for (int c = 0; c < 256; c++) {
    char head[] = "GET /?x HTTP/1.1\r\nHost: a\r\n\r\n";
    *strchr(head, '?') = (char)c;
    bool refused = c <= 0x20 || c >= 0x7f || c == '#';
    CHECK(request_error((struct str){head, sizeof head - 1}) == (refused ? ERROR_BAD_REQUEST : ERROR_NONE));
  }
}

IT("refuses white space between field name and colon (RFC 9112 section 5.1)") {
  CHECK(REQUEST("GET / HTTP/1.1\r\nHost : a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET / HTTP/1.1\r\nHost\t: a\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n") == ERROR_BAD_REQUEST);
}

IT("refuses a field line without colon or name, and any name that is no token (RFC 9110 section 5.1)") {
  CHECK(REQUEST("GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n") == ERROR_BAD_REQUEST);
  CHECK(REQUEST("GET / HTTP/1.1\r\nHost: a\r\nX Y: b\r\n\r\n") == ERROR_BAD_REQUEST);
  for (int c = 1; c < 256; c++) {
    char head[] = "GET / HTTP/1.1\r\nHost: a\r\nX?Y: b\r\n\r\n";
    *strchr(head, '?') = (char)c;
    bool token = field_name_is_valid((struct str){&(char){(char)c}, 1}) || c == ':';
    CHECK(request_error((struct str){head, sizeof head - 1}) == (token ? ERROR_NONE : ERROR_BAD_REQUEST));
  }
}

IT("is not misled by what llhttp makes of Connection, Upgrade and CONNECT") {
  CHECK(PARSED("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade, , x\r\nUpgrade: \r\nX: y\r\n\r\n")
            .headers.count == 4);
  CHECK(PARSED("CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nX: y\r\n\r\n").headers.count == 2);
  heads_free();
}

IT("keeps what it understood of a bad request, for the log") {
  struct request request;
  const char *why = NULL;
  struct str head = STR("DELETE /thing HTTP/1.1\r\n\r\n");
  CHECK(parser_request(&(struct head){.text = head}, heads_arena(), &default_limits, &request, &why) ==
        ERROR_BAD_HOST);
  CHECK_STR(request.method_name, "DELETE");
  CHECK(request.method == METHOD_DELETE);
  CHECK_STR(request.target, "/thing");
  CHECK(!request.keep_alive);
  CHECK_STR(str_of(why), "the request has no Host");
  heads_free();
}

static enum error unscanned(struct str text) {
  struct request request;
  return parser_request(&(struct head){.text = text}, heads_arena(), &default_limits, &request, NULL);
}

IT("refuses a head that goes on behind its empty line, and one that does not reach it") {
  CHECK(unscanned(STR("GET / HTTP/1.1\r\nHost: a\r\n\r\nX")));
  CHECK(unscanned(STR("GET / HTTP/1.1\r\nHost: a\r\n\r\nX: y\r\n\r\n")));
  CHECK(unscanned(STR("GET / HTTP/1.1\r\nHost: a\r\n")));
  CHECK(unscanned(STR("GET / HTTP/1.1\r\n")));
  CHECK(unscanned(STR("GET / HTTP/1.1")));
  CHECK(unscanned(STR("")));
  heads_free();
}

IT("refuses a bare LF as the empty line, which llhttp forgives") {
  CHECK(unscanned(STR("GET / HTTP/1.1\r\nHost: a\r\n\n")));
  heads_free();
}

IT("takes the first line as the scan has read it, but holds it to its own limit") {
  struct str text = STR("GET /1234 HTTP/1.0\r\nHost: a\r\n\r\n");
  struct parser_limits narrow = {.head_bytes = 65536, .target_bytes = 4, .fields = 100};
  struct head_scan scan = {0};
  struct request request;
  const char *why = NULL;
  size_t length;
  enum error error;
  CHECK(head_scan_request(&scan, text.ptr, text.len, &default_limits, &length, &error) == HEAD_WHOLE);
  const struct head head = {text, scan.line};
  CHECK(parser_request(&head, heads_arena(), &default_limits, &request, NULL) == ERROR_NONE);
  CHECK_STR(request.method_name, "GET");
  CHECK_STR(request.target, "/1234");
  CHECK(request.method == METHOD_GET && request.minor == 0 && request.headers.count == 1);
  CHECK(parser_request(&head, heads_arena(), &narrow, &request, &why) == ERROR_TARGET_TOO_LONG);
  CHECK_STR(str_of(why), "the request target is longer than allowed");
  heads_free();
}

static void check_same_fields(const struct headers *a, const struct headers *b) {
  CHECK(a->count == b->count && a->present == b->present);
  for (unsigned i = 0; i < a->count && i < b->count; i++) {
    CHECK(str_equal(a->items[i].name, b->items[i].name) && a->items[i].id == b->items[i].id);
    CHECK(str_equal(a->items[i].value, b->items[i].value));
  }
}

/* Only llhttp reads a head that was not scanned. */
static void check_as_llhttp(struct str head) {
  struct request scanned = {0}, unscanned = {0};
  enum error error = request_read(head, &default_limits, &scanned);
  struct head given = {.text = arena_dup(heads_arena(), head)};
  enum error other = parser_request(&given, heads_arena(), &default_limits, &unscanned, NULL);
  CHECK((error == ERROR_NONE) == (other == ERROR_NONE));
  if (error == ERROR_NONE) check_same_fields(&scanned.headers, &unscanned.headers);
  heads_free();
}

IT("reads the fields of a scanned head as llhttp does, whatever byte stands anywhere in them") {
  static const char first[] = "GET / HTTP/1.1\r\n",
                    fields[] = "Host: a\r\nX-A:\tb c \t\r\nTE:d\r\nE:\r\n\r\n";
  char text[sizeof first + sizeof fields];
  for (size_t at = 0; at < sizeof fields - 1; at++)
    for (unsigned byte = 0; byte < 256; byte++) {
      memcpy(text, first, sizeof first - 1);
      memcpy(text + sizeof first - 1, fields, sizeof fields);
      text[sizeof first - 1 + at] = (char)byte;
      check_as_llhttp((struct str){text, sizeof first + sizeof fields - 2});
    }
}

IT("refuses bare line ends and control characters even in a head that was not scanned") {
  CHECK(unscanned(STR("GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n")));
  CHECK(unscanned(STR("GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n")));
  CHECK(unscanned(STR("GET / HTTP/1.1\r\nHost: a\r\nX: \x01\r\n\r\n")));
  CHECK(unscanned(STR("GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n")));
  heads_free();
}

IT("takes a status line apart (RFC 9112 section 4)") {
  struct response response;
  CHECK(response_read(STR("HTTP/1.1 404 Not Found\r\n\r\n"), METHOD_GET, &response) == ERROR_NONE);
  CHECK(response.status == 404);
  CHECK(response.minor == 1);
  CHECK_STR(response.reason, "Not Found");
  CHECK(response_read(STR("HTTP/1.0 200 \xc3\xa4\tb\r\n\r\n"), METHOD_GET, &response) == ERROR_NONE);
  CHECK(response.minor == 0);
  CHECK_STR(response.reason, "\xc3\xa4\tb");
  heads_free();
}

IT("takes a status line without reason, with its space or without") {
  struct response response;
  CHECK(response_read(STR("HTTP/1.1 200 \r\n\r\n"), METHOD_GET, &response) == ERROR_NONE);
  CHECK_STR(response.reason, "");
  CHECK(response_read(STR("HTTP/1.1 200\r\n\r\n"), METHOD_GET, &response) == ERROR_NONE);
  CHECK_STR(response.reason, "");
  heads_free();
}

IT("refuses a malformed status line") {
  CHECK(RESPONSE("HTTP/1.1 2000 OK\r\n\r\n") == ERROR_BAD_RESPONSE);
  CHECK(RESPONSE("HTTP/1.1 20 OK\r\n\r\n") == ERROR_BAD_RESPONSE);
  CHECK(RESPONSE("HTTP/1.1 099 OK\r\n\r\n") == ERROR_BAD_RESPONSE);
  CHECK(RESPONSE("HTTP/1.1 600 OK\r\n\r\n") == ERROR_BAD_RESPONSE);
  CHECK(RESPONSE("HTTP/1.1 +20 OK\r\n\r\n") == ERROR_BAD_RESPONSE);
  CHECK(RESPONSE("HTTP/1.1  200 OK\r\n\r\n") == ERROR_BAD_RESPONSE);
  CHECK(RESPONSE("HTTP/1.1 200OK\r\n\r\n") == ERROR_BAD_RESPONSE);
  CHECK(RESPONSE("HTTP/2.0 200 OK\r\n\r\n") == ERROR_BAD_RESPONSE);
  CHECK(RESPONSE("http/1.1 200 OK\r\n\r\n") == ERROR_BAD_RESPONSE);
  CHECK(RESPONSE("ICY 200 OK\r\n\r\n") == ERROR_BAD_RESPONSE);
  CHECK(RESPONSE("\r\n") == ERROR_BAD_RESPONSE);
}

IT("refuses a reason with control characters even in a head that was not scanned") {
  struct response response;
  struct str head = STR("HTTP/1.1 200 a\x01\r\n\r\n");
  CHECK(parser_response(&(struct head){.text = head}, heads_arena(), &default_limits, METHOD_GET, &response,
                        NULL) == ERROR_BAD_RESPONSE);
  heads_free();
}

IT("reads a response without the white space before its colons (RFC 9112 section 5.1)") {
  struct response response;
  struct str head = STR("HTTP/1.1 200 OK\r\nX \t: a : b\r\nContent-Length : 5\r\nY: c\r\n\r\n");
  CHECK(response_read(head, METHOD_GET, &response) == ERROR_NONE);
  CHECK(response.headers.count == 3);
  CHECK_STR(response.headers.items[0].name, "X");
  CHECK_STR(response.headers.items[0].value, "a : b");
  CHECK(response.body.framing == FRAMING_LENGTH && response.body.length == 5);
  heads_free();
}

IT("refuses malformed fields in a response") {
  CHECK(RESPONSE("HTTP/1.1 200 OK\r\nX Y : y\r\n\r\n") == ERROR_BAD_RESPONSE);
  CHECK(RESPONSE("HTTP/1.1 200 OK\r\n : y\r\n\r\n") == ERROR_BAD_RESPONSE);
  CHECK(RESPONSE("HTTP/1.1 200 OK\r\nX\r\n\r\n") == ERROR_BAD_RESPONSE);
  CHECK(RESPONSE("HTTP/1.1 200 OK\r\n: y\r\n\r\n") == ERROR_BAD_RESPONSE);
  CHECK(RESPONSE("HTTP/1.1 200 OK\r\n X: y\r\n\r\n") == ERROR_BAD_RESPONSE);
}

IT("parses a trailer section (RFC 9112 section 7.1.2)") {
  struct headers trailers;
  CHECK(parser_trailers(STR("X-Sum: 1\r\nY:\r\n\r\n"), heads_arena(), &default_limits, &trailers));
  CHECK(trailers.count == 2);
  CHECK_STR(trailers.items[0].value, "1");
  CHECK(parser_trailers(STR("\r\n"), heads_arena(), &default_limits, &trailers));
  CHECK(trailers.count == 0);
  CHECK(!parser_trailers(STR("X : 1\r\n\r\n"), heads_arena(), &default_limits, &trailers));
  CHECK(!parser_trailers(STR("X: 1\r\n"), heads_arena(), &default_limits, &trailers));
  CHECK(!parser_trailers(STR("X: 1\n\r\n"), heads_arena(), &default_limits, &trailers));
  CHECK(!parser_trailers(STR(""), heads_arena(), &default_limits, &trailers));
  heads_free();
}
