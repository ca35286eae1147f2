// SPDX-License-Identifier: Apache-2.0
// Fuzz driver: bytes of a hostile client or server of HTTP/2. The first byte says which side we are, how large the
// pieces are in which the rest arrives, and what the user does with streams. A request that is accepted can be written
// as HTTP/1.1 and reads back as the same; what waits is bounded; each stream is forgotten in the end.
#include "http/h2_session.h"

#include "fuzz.h"
#include "http/framing.h"
#include "http/writer.h"

enum { STREAMS = 8, HELD = 1 << 17, OUT = 1 << 15, OPENED = 3 };
static const struct parser_limits limits = {.head_bytes = 4096, .target_bytes = 512, .fields = 20};

/* What HTTP/1.1 makes of it must be the same request. */
static void require_writable(struct request *request, struct arena *arena) {
  struct writer_hop hop = {0};
  struct request again;
  struct parser_limits wide = {.head_bytes = 65536, .target_bytes = 8192, .fields = 100};
  if (request->method == METHOD_CONNECT) return;
  framing_strip_request(request);
  struct str head = writer_request(arena, request, request->body, &hop);
  REQUIRE(head.ptr);
  REQUIRE(parser_request(&(struct head){.text = head}, arena, &wide, &again, NULL) == ERROR_NONE);
  REQUIRE(str_equal(again.target, request->target) && str_equal(again.method_name, request->method_name));
  REQUIRE(str_equal(again.authority, request->authority));
  REQUIRE(again.body.framing == request->body.framing && again.body.length == request->body.length);
}

static void answer(struct h2_stream *stream, uint8_t mood, struct arena *arena) {
  struct response response = {.status = 200};
  struct str part = STR("some bytes");
  headers_init(&response.headers, arena);
  struct h2_fields fields = h2_fields_of_response(arena, &response, (struct body){0});
  h2_stream_send_head(stream, &fields, false, false);
  if (mood & 8) h2_stream_write(stream, &part, 1, (mood & 16) != 0);
  if (!stream->ended) h2_stream_end(stream, NULL);
}

static bool take_request(struct h2_head *head, struct arena *arena) {
  struct request request;
  if (h2_head_request(head, true, &request) != ERROR_NONE) {
    REQUIRE(head->why);
    return false;
  }
  for (unsigned i = 0; i < request.headers.count; i++) {
    const struct field *field = &request.headers.items[i];
    REQUIRE(field_name_is_valid(field->name) && field_value_is_valid(field->value));
  }
  require_writable(&request, arena);
  return true;
}

static void take_response(struct h2_stream *stream, struct h2_head *head, struct arena *arena) {
  struct response response;
  struct writer_hop hop = {0};
  if (h2_head_response(head, stream->method, &response) != ERROR_NONE) return;
  framing_strip_response(&response);
  REQUIRE(writer_response(arena, &response, response.announced, &hop).ptr);
}

/* True: it was released. */
static bool serve(struct h2_stream *stream, unsigned news, uint8_t mood, bool is_server,
                  struct arena *arena) {
  struct h2_head *head;
  bool good = true;
  while ((head = h2_stream_head(stream))) {
    if (is_server)
      good = take_request(head, arena);
    else
      take_response(stream, head, arena);
  }
  REQUIRE(stream->length == UINT64_MAX || stream->taken <= stream->length);
  if (mood & 4) h2_stream_used(stream, buf_len(&stream->in));
  bool is_over = (news & H2_NEWS_RESET) || !good;
  if (!is_over && news & H2_NEWS_END && is_server && !stream->ended) answer(stream, mood, arena);
  if (!is_over && !(news & H2_NEWS_END && mood & 32)) return false;
  h2_stream_release(stream);
  return true;
}

static void forget(struct h2_stream **known, struct h2_stream *stream) {
  for (unsigned i = 0; i < STREAMS; i++)
    if (known[i] == stream) known[i] = NULL;
}

static void remember(struct h2_stream **known, struct h2_stream *stream) {
  unsigned i = 0;
  forget(known, stream);
  while (i < STREAMS && known[i]) i++;
  REQUIRE(i < STREAMS);
  known[i] = stream;
}

static void take_news(struct h2_session *s, struct h2_stream **known, uint8_t mood, bool is_server,
                      struct arena *arena) {
  unsigned news;
  struct h2_stream *stream;
  while ((stream = h2_session_next(s, &news))) {
    forget(known, stream);
    if (!serve(stream, news, mood, is_server, arena)) remember(known, stream);
  }
}

static void ask(struct h2_session *s, struct h2_stream **known, struct arena *arena) {
  struct request request = {.method = METHOD_GET,
                            .method_name = STR_INIT("GET"),
                            .target = STR_INIT("/"),
                            .authority = STR_INIT("h")};
  headers_init(&request.headers, arena);
  struct h2_fields fields = h2_fields_of_request(arena, &request, (struct body){0}, STR("http"));
  for (int i = 0; i < OPENED; i++) {
    struct h2_stream *stream = h2_session_request(s, &fields, METHOD_GET, i > 0, arena);
    if (stream) remember(known, stream);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  uint8_t mood = data[0];
  bool is_server = mood & 1;
  size_t step = mood & 2 ? 1 + (size_t)mood / 16 : size;
  struct h2_config config = {.is_server = is_server,
                             .connect_protocol = true,
                             .streams = STREAMS,
                             .stream_window = 65535,
                             .window_most = 1 << 17,
                             .held_bytes = HELD,
                             .out_bytes = OUT,
                             .head = limits,
                             .allowances = {{50, 10}, {200, 10}}};
  struct arena arena = {0};
  struct h2_stream *known[STREAMS] = {0};
  struct h2_session *s = h2_session_new(&config, 0);
  if (!is_server) ask(s, known, &arena);
  bool fine = true;
  for (size_t at = 1; at < size && fine; at += step) {
    struct str piece = fuzz_copy(data + at, size - at < step ? size - at : step);
    fine = h2_session_receive(s, piece.ptr, piece.len, at);
    free((char *)piece.ptr);
    take_news(s, known, mood, is_server, &arena);
    REQUIRE(buf_len(h2_session_out(s)) <= OUT + 65536);
    buf_consume(h2_session_out(s), buf_len(h2_session_out(s)));
    REQUIRE(h2_session_streams(s) <= STREAMS);
  }
  for (unsigned i = 0; i < STREAMS; i++)
    if (known[i]) h2_stream_release(known[i]);
  h2_session_free(s);
  arena_free(&arena);
  return 0;
}
