// SPDX-License-Identifier: Apache-2.0
// h2_head and h2_fields: what of HTTP/2's header blocks is a message, and how messages become fields again (RFC 9113
// section 8).
#include "http/h2_head.h"

#include <stdio.h>

#include "http/framing.h"
#include "unit.h"

static const struct parser_limits limits = {.head_bytes = 4096, .target_bytes = 64, .fields = 8};

struct pair {
  const char *name, *value;
};
#define MOST 12

/* Reads a block; the pairs end with a name that is NULL. */
static enum error read_request(const struct pair *pairs, bool ends, struct request *request,
                               struct arena *arena, const char **why) {
  struct h2_head head;
  h2_head_begin(&head, H2_BLOCK_REQUEST, &limits, arena);
  for (; pairs->name; pairs++) h2_head_take(&head, str_of(pairs->name), str_of(pairs->value), false);
  head.ends = ends;
  enum error error = h2_head_request(&head, true, request);
  *why = head.why;
  return error;
}

static enum error read_response(const struct pair *pairs, bool ends, enum method method,
                                struct response *response, struct arena *arena) {
  struct h2_head head;
  h2_head_begin(&head, H2_BLOCK_RESPONSE, &limits, arena);
  for (; pairs->name; pairs++) h2_head_take(&head, str_of(pairs->name), str_of(pairs->value), false);
  head.ends = ends;
  return h2_head_response(&head, method, response);
}

#define GET                                                                                                  \
  {":method", "GET"}, {":scheme", "https"}, { ":path", "/a?b" }
#define AT                                                                                                   \
  { ":authority", "a.example:81" }

IT("makes the request that HTTP/1.1 would have been, with one Host in front") {
  struct arena arena = {0};
  struct request request;
  const char *why;
  struct pair pairs[] = {GET, AT, {"accept", "*/*"}, {"cookie", "a=1"}, {"cookie", "b=2"}, {"cookie", "c"},
                         {0}};
  CHECK(read_request(pairs, true, &request, &arena, &why) == ERROR_NONE);
  CHECK(request.method == METHOD_GET && request.body.framing == FRAMING_NONE && request.minor == 1);
  CHECK_STR(request.target, "/a?b");
  CHECK_STR(request.authority, "a.example:81");
  CHECK(request.headers.count == 3 && request.headers.items[0].id == FIELD_HOST);
  CHECK_STR(headers_find_id(&request.headers, FIELD_COOKIE)->value, "a=1; b=2; c");
  arena_free(&arena);
}

IT("takes Host where there is no :authority, and refuses one that differs") {
  struct arena arena = {0};
  struct request request;
  const char *why;
  struct pair host[] = {GET, {"host", "h"}, {0}}, same[] = {GET, AT, {"host", "A.example:81"}, {0}};
  struct pair other[] = {GET, AT, {"host", "evil"}, {0}}, two[] = {GET, {"host", "h"}, {"host", "h"}, {0}},
              none[] = {GET, {0}};
  CHECK(read_request(host, true, &request, &arena, &why) == ERROR_NONE);
  CHECK_STR(request.authority, "h");
  CHECK(read_request(same, true, &request, &arena, &why) == ERROR_NONE && request.headers.count == 1);
  CHECK(read_request(other, true, &request, &arena, &why) == ERROR_BAD_HOST);
  CHECK(read_request(two, true, &request, &arena, &why) == ERROR_BAD_HOST);
  CHECK(read_request(none, true, &request, &arena, &why) == ERROR_BAD_HOST);
  CHECK_STR(str_of(why), "the request has neither :authority nor Host");
  arena_free(&arena);
}

IT("refuses what is malformed by section 8, and what HTTP/1.1 could not carry") {
  static const struct pair blocks[][MOST] = {
      {{":scheme", "https"}, {":path", "/"}, AT},
      {{":method", "GET"}, {":path", "/"}, AT},
      {{":method", "GET"}, {":scheme", "https"}, AT},
      {{":method", "GET"}, {":scheme", "https"}, {":path", ""}, AT},
      {GET, {":path", "/"}, AT},
      {GET, AT, {":status", "200"}},
      {GET, AT, {":unknown", "x"}},
      {GET, {"accept", "x"}, AT},
      {GET, AT, {"Accept", "x"}},
      {GET, AT, {"a b", "x"}},
      {GET, AT, {"a:b", "x"}},
      {GET, AT, {"", "x"}},
      {GET, AT, {"a", "x\r\nb: c"}},
      {GET, AT, {"a", "x\ny"}},
      {GET, AT, {"a", " x"}},
      {GET, AT, {"a", "x\t"}},
      {GET, AT, {"a", "x\x7f"}},
      {GET, AT, {"connection", "close"}},
      {GET, AT, {"keep-alive", "x"}},
      {GET, AT, {"proxy-connection", "x"}},
      {GET, AT, {"transfer-encoding", "chunked"}},
      {GET, AT, {"upgrade", "x"}},
      {GET, AT, {"te", "gzip"}},
      {GET, {":authority", "user@a"}},
      {GET, {":authority", ""}},
      {GET, {":authority", "a/b"}},
      {{":method", "G T"}, {":scheme", "https"}, {":path", "/"}, AT},
      {{":method", ""}, {":scheme", "https"}, {":path", "/"}, AT},
      {{":method", "GET"}, {":scheme", "https"}, {":path", "/ HTTP/1.1"}, AT},
      {{":method", "GET"}, {":scheme", "https"}, {":path", "/#x"}, AT},
      {{":method", "GET"}, {":scheme", "https"}, {":path", "http://b/"}, AT},
      {{":method", "GET"}, {":scheme", "https"}, {":path", "*"}, AT},
      {{":method", "GET"}, {":scheme", "gopher"}, {":path", "/"}, AT},
      {{":method", "CONNECT"}, {":scheme", "https"}, {":authority", "a:1"}},
      {{":method", "CONNECT"}, {":path", "/"}, {":authority", "a:1"}},
      {{":method", "CONNECT"}},
      {{":method", "GET"}, {":scheme", "https"}, {":path", "/"}, AT, {":protocol", "websocket"}},
  };
  for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
    struct arena arena = {0};
    struct request request;
    const char *why;
    enum error error = read_request(blocks[i], false, &request, &arena, &why);
    if (!CHECK(error == ERROR_BAD_REQUEST || error == ERROR_BAD_HOST)) printf("  block %zu\n", i);
    CHECK(why != NULL);
    arena_free(&arena);
  }
}

IT("holds a request to its limits, while the rest of the block is still decoded") {
  struct arena arena = {0};
  struct request request;
  const char *why;
  char text[4096];
  memset(text, 'a', sizeof text - 1);
  text[sizeof text - 1] = '\0';
  struct pair large[] = {GET, AT, {"x", text}, {"y", "z"}, {0}};
  struct pair many[] = {GET,       AT,        {"a", ""}, {"b", ""}, {"c", ""}, {"d", ""},
                        {"e", ""}, {"f", ""}, {"g", ""}, {"h", ""}, {"i", ""}, {0}};
  CHECK(read_request(large, true, &request, &arena, &why) == ERROR_HEAD_TOO_LARGE);
  CHECK(read_request(many, true, &request, &arena, &why) == ERROR_HEAD_TOO_LARGE);
  text[100] = '\0';
  text[0] = '/';
  struct pair target[] = {{":method", "GET"}, {":scheme", "https"}, {":path", text}, AT, {0}};
  CHECK(read_request(target, true, &request, &arena, &why) == ERROR_TARGET_TOO_LONG);
  arena_free(&arena);
}

IT("knows of a body by END_STREAM and Content-Length") {
  struct arena arena = {0};
  struct request request;
  const char *why;
  struct pair length[] = {GET, AT, {"content-length", "5"}, {0}},
              bare[] = {GET, AT, {"expect", "100-continue"}, {0}};
  struct pair twice[] = {GET, AT, {"content-length", "5"}, {"content-length", "6"}, {0}};
  CHECK(read_request(length, false, &request, &arena, &why) == ERROR_NONE && request.body.length == 5);
  CHECK(read_request(length, true, &request, &arena, &why) == ERROR_BAD_FRAMING);
  CHECK(read_request(bare, false, &request, &arena, &why) == ERROR_NONE);
  CHECK(request.body.framing == FRAMING_CHUNKED && request.expects_continue);
  CHECK(read_request(bare, true, &request, &arena, &why) == ERROR_NONE && !request.expects_continue);
  CHECK(read_request(twice, false, &request, &arena, &why) == ERROR_BAD_FRAMING);
  arena_free(&arena);
}

IT("reads an extended CONNECT as the GET with Upgrade that it stands for, and writes it back") {
  struct arena arena = {0};
  struct request request;
  const char *why;
  struct pair pairs[] = {
      {":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "https"}, {":path", "/chat"}, AT, {0}};
  CHECK(read_request(pairs, false, &request, &arena, &why) == ERROR_NONE);
  CHECK(request.method == METHOD_GET && request.body.framing == FRAMING_NONE);
  CHECK_STR(request.upgrade, "websocket");
  struct h2_fields fields = h2_fields_of_request(&arena, &request, request.body, STR("https"));
  CHECK(fields.count == 5);
  CHECK_STR(fields.items[0].value, "CONNECT");
  CHECK_STR(fields.items[1].value, "websocket");
  CHECK_STR(fields.items[3].value, "a.example:81");
  CHECK_STR(fields.items[4].value, "/chat");
  CHECK(read_request(pairs, true, &request, &arena, &why) == ERROR_BAD_REQUEST);
  arena_free(&arena);
}

IT("reads responses, and refuses what is none") {
  struct arena arena = {0};
  struct response r;
  struct pair ok[] = {{":status", "200"}, {"content-length", "3"}, {0}}, bare[] = {{":status", "200"}, {0}};
  struct pair early[] = {{":status", "103"}, {0}}, odd[] = {{":status", "99"}, {0}},
              low[] = {{":status", "099"}, {0}};
  struct pair none[] = {{"a", "b"}, {0}}, switches[] = {{":status", "101"}, {0}},
              method[] = {{":status", "200"}, {":method", "x"}, {0}};
  struct pair te[] = {{":status", "200"}, {"te", "trailers"}, {0}};
  CHECK(read_response(ok, false, METHOD_GET, &r, &arena) == ERROR_NONE && r.status == 200 &&
        r.body.length == 3);
  CHECK(read_response(ok, true, METHOD_HEAD, &r, &arena) == ERROR_NONE && r.body.framing == FRAMING_NONE);
  CHECK(r.announced.length == 3);
  CHECK(read_response(ok, true, METHOD_GET, &r, &arena) == ERROR_BAD_RESPONSE);
  CHECK(read_response(bare, false, METHOD_GET, &r, &arena) == ERROR_NONE &&
        r.body.framing == FRAMING_CHUNKED);
  CHECK(read_response(bare, true, METHOD_GET, &r, &arena) == ERROR_NONE && r.body.framing == FRAMING_NONE);
  CHECK(read_response(early, false, METHOD_GET, &r, &arena) == ERROR_NONE && r.status == 103);
  CHECK(read_response(early, true, METHOD_GET, &r, &arena) == ERROR_BAD_RESPONSE);
  CHECK(read_response(odd, true, METHOD_GET, &r, &arena) == ERROR_BAD_RESPONSE);
  CHECK(read_response(low, true, METHOD_GET, &r, &arena) == ERROR_BAD_RESPONSE);
  CHECK(read_response(none, true, METHOD_GET, &r, &arena) == ERROR_BAD_RESPONSE);
  CHECK(read_response(switches, false, METHOD_GET, &r, &arena) == ERROR_BAD_RESPONSE);
  CHECK(read_response(method, true, METHOD_GET, &r, &arena) == ERROR_BAD_RESPONSE);
  CHECK(read_response(te, true, METHOD_GET, &r, &arena) == ERROR_BAD_RESPONSE);
  arena_free(&arena);
}

IT("writes names in lower case, without the fields of one hop, and keeps secrets out of tables") {
  struct arena arena = {0};
  struct request request = {.method = METHOD_POST,
                            .method_name = STR_INIT("POST"),
                            .target = STR_INIT("/"),
                            .accepts_trailers = true};
  headers_init(&request.headers, &arena);
  headers_add(&request.headers, STR("Host"), STR("h"));
  headers_add(&request.headers, STR("Authorization"), STR("Basic x"));
  headers_add(&request.headers, STR("Connection"), STR("close"));
  headers_add(&request.headers, STR("X-A"), STR(" b "));
  struct h2_fields fields =
      h2_fields_of_request(&arena, &request, (struct body){FRAMING_LENGTH, 7}, STR("http"));
  CHECK(fields.count == 8);
  CHECK_STR(fields.items[2].value, "h");
  CHECK_STR(fields.items[4].name, "authorization");
  CHECK(fields.items[4].is_sensitive && !fields.items[5].is_sensitive);
  CHECK_STR(fields.items[5].value, "b");
  CHECK_STR(fields.items[6].value, "7");
  CHECK_STR(fields.items[7].name, "te");
  arena_free(&arena);
}

IT("writes nothing of a head with a control character or two Hosts in it") {
  struct arena arena = {0};
  struct response response = {.status = 200};
  struct request request = {.method_name = STR_INIT("GET"), .target = STR_INIT("/")};
  headers_init(&response.headers, &arena);
  headers_init(&request.headers, &arena);
  headers_add(&response.headers, STR("a"), STR("b\r\nc: d"));
  CHECK(!h2_fields_of_response(&arena, &response, (struct body){0}).items);
  headers_init(&response.headers, &arena);
  headers_add(&response.headers, STR("a b"), STR("c"));
  CHECK(!h2_fields_of_response(&arena, &response, (struct body){0}).items);
  headers_add(&request.headers, STR("Host"), STR("h"));
  headers_add(&request.headers, STR("Host"), STR("i"));
  CHECK(!h2_fields_of_request(&arena, &request, (struct body){0}, STR("http")).items);
  arena_free(&arena);
}
