// SPDX-License-Identifier: Apache-2.0
// Units for http/writer: what is written, and that it reads back as the same message.
#include "http/writer.h"

#include "heads.h"
#include "http/framing.h"
#include "unit.h"

static const struct writer_hop plain;
static const struct body none = {.framing = FRAMING_NONE};
static const struct body chunked = {.framing = FRAMING_CHUNKED};

static struct request a_request(void) {
  struct request request = {
      .method_name = STR("PUT"), .method = METHOD_PUT, .minor = 1, .target = STR("/p?q")};
  headers_init(&request.headers, heads_arena());
  headers_add(&request.headers, STR("Host"), STR("a"));
  headers_add(&request.headers, STR("X-A"), STR("1"));
  return request;
}

static struct response a_response(unsigned short status) {
  struct response response = {.status = status, .minor = 1};
  headers_init(&response.headers, heads_arena());
  headers_add(&response.headers, STR("Server"), STR("s"));
  return response;
}

static struct str written(const struct request *request, struct body body, struct writer_hop hop) {
  return writer_request(heads_arena(), request, body, &hop);
}
static struct str answered(unsigned short status, struct body body, struct writer_hop hop) {
  struct response response = a_response(status);
  return writer_response(heads_arena(), &response, body, &hop);
}

#define START "PUT /p?q HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n"

IT("writes a request with the framing of its body (RFC 9112 section 6)") {
  struct request request = a_request();
  CHECK_STR(written(&request, none, plain), START "\r\n");
  CHECK_STR(written(&request, chunked, plain), START "Transfer-Encoding: chunked\r\n\r\n");
  struct body length = {FRAMING_LENGTH, 0};
  CHECK_STR(written(&request, length, plain), START "Content-Length: 0\r\n\r\n");
  length.length = UINT64_MAX;
  CHECK_STR(written(&request, length, plain), START "Content-Length: 18446744073709551615\r\n\r\n");
  heads_free();
}

IT("writes the options of the hop, each nominated by Connection (RFC 9110 section 7.6.1)") {
  struct request request = a_request();
  CHECK_STR(written(&request, none, (struct writer_hop){.close = true}), START "Connection: close\r\n\r\n");
  CHECK_STR(written(&request, none, (struct writer_hop){.keep_alive = true}),
            START "Connection: keep-alive\r\n\r\n");
  CHECK_STR(written(&request, none, (struct writer_hop){.te_trailers = true}),
            START "TE: trailers\r\nConnection: TE\r\n\r\n");
  struct writer_hop all = {
      .close = true, .keep_alive = true, .te_trailers = true, .upgrade = STR("websocket")};
  CHECK_STR(written(&request, none, all),
            START "TE: trailers\r\nUpgrade: websocket\r\nConnection: close, upgrade, TE\r\n\r\n");
  heads_free();
}

IT("never writes fields of one hop from the list, whoever put them there") {
  struct request request = a_request();
  headers_add(&request.headers, STR("content-length"), STR("99"));
  headers_add(&request.headers, STR("Transfer-Encoding"), STR("gzip"));
  headers_add(&request.headers, STR("Connection"), STR("close"));
  headers_add(&request.headers, STR("Keep-Alive"), STR("x"));
  headers_add(&request.headers, STR("Upgrade"), STR("h2c"));
  headers_add(&request.headers, STR("TE"), STR("gzip"));
  CHECK_STR(written(&request, none, plain), START "\r\n");
  heads_free();
}

IT("gives a request of HTTP/1.0 without Host one (RFC 9112 section 3.2)") {
  struct request request = a_request();
  headers_remove_id(&request.headers, FIELD_HOST);
  CHECK_STR(written(&request, none, plain), "PUT /p?q HTTP/1.1\r\nHost: \r\nX-A: 1\r\n\r\n");
  request.authority = STR("b:1");
  CHECK_STR(written(&request, none, plain), "PUT /p?q HTTP/1.1\r\nHost: b:1\r\nX-A: 1\r\n\r\n");
  heads_free();
}

IT("writes a response, with the standard reason where it has none of its own") {
  CHECK_STR(answered(200, chunked, plain),
            "HTTP/1.1 200 OK\r\nServer: s\r\nTransfer-Encoding: chunked\r\n\r\n");
  CHECK_STR(answered(299, none, plain), "HTTP/1.1 299 \r\nServer: s\r\n\r\n");
  struct response response = a_response(404);
  response.reason = STR("Gone Fishing");
  CHECK_STR(writer_response(heads_arena(), &response, (struct body){FRAMING_LENGTH, 7}, &plain),
            "HTTP/1.1 404 Gone Fishing\r\nServer: s\r\nContent-Length: 7\r\n\r\n");
  heads_free();
}

IT("writes no framing into 1xx and 204 (RFC 9110 section 8.6, RFC 9112 section 6.1)") {
  CHECK_STR(answered(204, (struct body){FRAMING_LENGTH, 0}, plain),
            "HTTP/1.1 204 No Content\r\nServer: s\r\n\r\n");
  CHECK_STR(answered(103, chunked, plain), "HTTP/1.1 103 Early Hints\r\nServer: s\r\n\r\n");
  CHECK_STR(answered(101, (struct body){.framing = FRAMING_TUNNEL}, (struct writer_hop){.upgrade = STR("x")}),
            "HTTP/1.1 101 Switching Protocols\r\nServer: s\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
  heads_free();
}

IT("passes the length on that HEAD or 304 announce, and no other framing") {
  CHECK_STR(answered(304, (struct body){FRAMING_LENGTH, 5}, plain),
            "HTTP/1.1 304 Not Modified\r\nServer: s\r\nContent-Length: 5\r\n\r\n");
  CHECK_STR(answered(304, none, plain), "HTTP/1.1 304 Not Modified\r\nServer: s\r\n\r\n");
  CHECK_STR(answered(200, (struct body){.framing = FRAMING_CLOSE}, (struct writer_hop){.close = true}),
            "HTTP/1.1 200 OK\r\nServer: s\r\nConnection: close\r\n\r\n");
  heads_free();
}

IT("writes trailers and the empty line, without fields of one hop") {
  struct headers trailers;
  headers_init(&trailers, heads_arena());
  CHECK_STR(writer_trailers(heads_arena(), NULL), "\r\n");
  CHECK_STR(writer_trailers(heads_arena(), &trailers), "\r\n");
  headers_add(&trailers, STR("X-Sum"), STR("1"));
  headers_add(&trailers, STR("Content-Length"), STR("5"));
  CHECK_STR(writer_trailers(heads_arena(), &trailers), "X-Sum: 1\r\n\r\n");
  heads_free();
}

static void check_same_headers(const struct headers *a, const struct headers *b) {
  if (!CHECK(a->count == b->count)) return;
  for (unsigned i = 0; i < a->count; i++) {
    CHECK(str_equal(a->items[i].name, b->items[i].name));
    CHECK(str_equal(a->items[i].value, b->items[i].value));
    CHECK(a->items[i].id == b->items[i].id);
  }
}

IT("writes what the parser reads back as the same request") {
  struct request first, second;
  struct str head =
      STR("OPTIONS http://b:1/x?y HTTP/1.1\r\nHost: a\r\nAccept:\r\nX: a  b\r\nx: \xff\t;\r\nVia: 1.1 p\r\n"
          "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\nTE: trailers\r\nConnection: TE\r\n\r\n");
  CHECK(request_read(head, &default_limits, &first) == ERROR_NONE);
  framing_strip_request(&first);
  struct str again = written(&first, first.body, (struct writer_hop){.te_trailers = first.accepts_trailers});
  CHECK(request_read(again, &default_limits, &second) == ERROR_NONE);
  framing_strip_request(&second);
  CHECK(str_equal(first.method_name, second.method_name));
  CHECK(str_equal(first.target, second.target));
  CHECK(str_equal(first.authority, second.authority));
  CHECK(second.body.framing == FRAMING_CHUNKED);
  CHECK(second.expects_continue && second.accepts_trailers);
  check_same_headers(&first.headers, &second.headers);
  heads_free();
}

IT("writes what the parser reads back as the same response") {
  struct response first, second;
  struct str head =
      STR("HTTP/1.1 206 Teil \xc3\xa4\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nContent-Length: 12\r\n\r\n");
  CHECK(response_read(head, METHOD_GET, &first) == ERROR_NONE);
  framing_strip_response(&first);
  struct str again = writer_response(heads_arena(), &first, first.announced, &plain);
  CHECK(response_read(again, METHOD_GET, &second) == ERROR_NONE);
  CHECK(second.body.framing == FRAMING_LENGTH && second.body.length == 12);
  framing_strip_response(&second);
  CHECK(second.status == 206);
  CHECK(str_equal(first.reason, second.reason));
  check_same_headers(&first.headers, &second.headers);
  heads_free();
}

/* Each part of a head once, with a byte in it that would end it. */
static bool is_refused(struct str bad) {
  struct request request = a_request();
  struct response response = a_response(200);
  struct headers trailers;
  headers_init(&trailers, heads_arena());
  bool is_written = written(&request, none, plain).ptr && answered(200, none, plain).ptr;
  request.target = bad;
  bool is_out = written(&request, none, plain).ptr != NULL;
  request = a_request();
  request.method_name = bad;
  is_out |= written(&request, none, plain).ptr != NULL;
  request = a_request();
  headers_add(&request.headers, STR("X"), bad);
  is_out |= written(&request, chunked, plain).ptr != NULL;
  request = a_request();
  headers_remove_id(&request.headers, FIELD_HOST);
  request.authority = bad;
  is_out |= written(&request, none, plain).ptr != NULL;
  is_out |= written(&request, none, (struct writer_hop){.upgrade = bad}).ptr != NULL;
  response.reason = bad;
  is_out |= writer_response(heads_arena(), &response, none, &plain).ptr != NULL;
  response = a_response(200);
  headers_add(&response.headers, bad, STR("1"));
  is_out |= writer_response(heads_arena(), &response, none, &plain).ptr != NULL;
  headers_add(&trailers, STR("X"), bad);
  is_out |= writer_trailers(heads_arena(), &trailers).ptr != NULL;
  heads_free();
  return is_written && !is_out;
}

IT("writes no head with CR, LF, NUL or another control character in any of its parts") {
  CHECK(is_refused(STR("a\r\nX-Admin: yes")));
  CHECK(is_refused(STR("\r")));
  CHECK(is_refused(STR("\n")));
  CHECK(is_refused(STR("0123456789abcdef\n")));
  CHECK(is_refused((struct str){"a\0b", 3}));
  CHECK(is_refused(STR("\x1b[31m")));
}

IT("finds such a byte anywhere in a long head") {
  char value[9000];
  struct response response = a_response(200);
  memset(value, 'v', sizeof value);
  headers_add(&response.headers, STR("X"), (struct str){value, sizeof value});
  CHECK(writer_response(heads_arena(), &response, none, &plain).ptr);
  for (size_t at = 0; at < sizeof value; at += 97) {
    value[at] = '\n';
    CHECK(!writer_response(heads_arena(), &response, none, &plain).ptr);
    value[at] = '\t';
    CHECK(writer_response(heads_arena(), &response, none, &plain).ptr);
    value[at] = 'v';
  }
  heads_free();
}

IT("finds such a byte in fields that lie as they were received") {
  char head[] = "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nX-B: 2\r\nX-C: 3\r\n\r\n";
  struct request request;
  CHECK(request_read((struct str){head, sizeof head - 1}, &default_limits, &request) == ERROR_NONE);
  framing_strip_request(&request);
  CHECK(written(&request, none, plain).ptr);
  *(char *)headers_find(&request.headers, STR("X-B"))->value.ptr = '\r';
  CHECK(!written(&request, none, plain).ptr);
  heads_free();
}

IT("writes no request with two Hosts (RFC 9112 section 3.2)") {
  struct request request = a_request();
  headers_add(&request.headers, STR("Host"), STR("b"));
  CHECK(!written(&request, none, plain).ptr);
  heads_free();
}
