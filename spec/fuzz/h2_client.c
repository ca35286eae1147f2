// SPDX-License-Identifier: Apache-2.0
// Fuzz driver: a hostile server of HTTP/2, and what we say to it as its client. The input is its bytes, and between
// them what our user does: asks, with a body or without, writes, ends with trailers, gives up, reads; and how much of
// our output the wire takes. Each frame that we make is looked at: ids rise, a stream begins with HEADERS, and nothing
// is said on it behind its end or its reset. What the wire has not taken counts as unsent, and what it has as sent.
#include "http/h2_session.h"

#include "fuzz.h"
#include "http/framing.h"
#include "http/h2_walk.h"
#include "http/writer.h"

enum { STREAMS = 8, HELD = 1 << 17, OUT = 1 << 12, IDS = 4096, PREFACE = 24 };
enum {
  DATA,
  HEADERS,
  PRIORITY,
  RST_STREAM,
  SETTINGS,
  PUSH_PROMISE,
  PING,
  GOAWAY,
  WINDOW_UPDATE,
  CONTINUATION
};
enum { END_STREAM = 1 };
static const struct parser_limits limits = {.head_bytes = 4096, .target_bytes = 512, .fields = 20};

struct scene {
  struct h2_session *s;
  struct arena arena;
  struct h2_stream *known[STREAMS];
  struct h2_walk walk;
  uint64_t written; /* bytes that the wire has taken */
  unsigned preface_left;
  int32_t last;
  unsigned char begun[IDS], ended[IDS], reset[IDS];
};

/* --- what we say ------------------------------------------------------------------------------------------ */

static void look_at(struct scene *w, const struct h2_frame_head *frame) {
  int32_t id = frame->id;
  REQUIRE(frame->length <= 16384 && frame->type != PUSH_PROMISE && frame->type != PRIORITY);
  if (!id || id / 2 >= IDS) return;
  REQUIRE(id % 2 == 1);
  id /= 2;
  REQUIRE(!w->reset[id]);
  if (frame->type == HEADERS && !w->begun[id]) {
    REQUIRE(frame->id > w->last);
    w->last = frame->id;
    w->begun[id] = 1;
  }
  REQUIRE(w->begun[id]);
  if (frame->type == DATA || frame->type == HEADERS) {
    REQUIRE(!w->ended[id]);
    w->ended[id] = frame->flags & END_STREAM;
  }
  if (frame->type == RST_STREAM) w->reset[id] = 1;
}

/* The wire takes so many bytes of the output. */
static void drain(struct scene *w, size_t most) {
  struct buf *out = h2_session_out(w->s);
  size_t count = buf_len(out) < most ? buf_len(out) : most, skipped = count;
  const uint8_t *at = (const uint8_t *)buf_ptr(out);
  if (skipped > w->preface_left) skipped = w->preface_left;
  w->preface_left -= (unsigned)skipped;
  at += skipped;
  for (size_t left = count - skipped; left > 0;) {
    struct h2_piece piece = h2_walk_step(&w->walk, &at, &left);
    if (piece.count && piece.begins) look_at(w, &piece.head);
  }
  buf_consume(out, count);
  w->written += count;
}

/* --- the user --------------------------------------------------------------------------------------------- */

static void check_sent(const struct scene *w) {
  for (unsigned i = 0; i < STREAMS; i++) {
    const struct h2_stream *stream = w->known[i];
    if (stream && w->begun[stream->id / 2 % IDS]) REQUIRE(!h2_stream_is_unsent(stream, w->written));
  }
}

static void forget(struct scene *w, const struct h2_stream *stream) {
  for (unsigned i = 0; i < STREAMS; i++)
    if (w->known[i] == stream) w->known[i] = NULL;
}

static void ask(struct scene *w, bool ends) {
  struct request request = {.method = METHOD_POST,
                            .method_name = STR_INIT("POST"),
                            .target = STR_INIT("/"),
                            .authority = STR_INIT("h")};
  unsigned i = 0;
  while (i < STREAMS && w->known[i]) i++;
  if (i == STREAMS || !h2_session_room(w->s)) return;
  headers_init(&request.headers, &w->arena);
  struct h2_fields fields = h2_fields_of_request(&w->arena, &request, (struct body){0}, STR("http"));
  w->known[i] = h2_session_request(w->s, &fields, METHOD_POST, ends, &w->arena);
}

static void act(struct scene *w, uint8_t what) {
  static char body[3000];
  struct h2_stream *stream = w->known[what / 16 % STREAMS];
  struct str part = {body, sizeof body};
  struct h2_field field = {STR("x"), STR("1"), false};
  struct h2_fields trailers = {&field, 1};
  switch (what % 8) {
  case 0: ask(w, false); return;
  case 1: ask(w, true); return;
  case 2:
  case 3:
    if (stream && !stream->ended) h2_stream_write(stream, &part, 1, what % 8 == 3);
    return;
  case 4:
    if (stream && !stream->ended) h2_stream_end(stream, what & 8 ? &trailers : NULL);
    return;
  case 5:
    if (stream) forget(w, stream), h2_stream_release(stream);
    return;
  case 6:
    if (stream) h2_stream_used(stream, buf_len(&stream->in));
    return;
  case 7: h2_session_ping(w->s); return;
  }
}

static void take_head(struct scene *w, struct h2_stream *stream, struct h2_head *head) {
  struct response response;
  struct writer_hop hop = {0};
  if (h2_head_response(head, stream->method, &response) != ERROR_NONE) {
    REQUIRE(head->why);
    h2_stream_blame(stream, H2_PROTOCOL_ERROR, head->why);
    return;
  }
  framing_strip_response(&response);
  REQUIRE(writer_response(&w->arena, &response, response.announced, &hop).ptr);
}

static void take_news(struct scene *w) {
  unsigned news;
  struct h2_stream *stream;
  struct h2_head *head;
  while ((stream = h2_session_next(w->s, &news))) {
    while ((head = h2_stream_head(stream))) take_head(w, stream, head);
    REQUIRE(stream->length == UINT64_MAX || stream->taken <= stream->length);
    bool is_whole = news & H2_NEWS_END && stream->ended;
    if (!(news & H2_NEWS_RESET) && !is_whole) continue;
    if (stream->was_refused) REQUIRE(news & H2_NEWS_RESET);
    forget(w, stream);
    h2_stream_release(stream);
  }
}

/* Steps of the input: what the user does, how much the wire takes, how many bytes come; and they. */
static void run(struct scene *w, const uint8_t *data, size_t size) {
  bool fine = true;
  for (size_t at = 0; fine && size - at > 3;) {
    act(w, data[at]);
    fine = h2_session_send(w->s);
    take_news(w);
    drain(w, data[at + 1] * 64u);
    size_t count = data[at + 2];
    at += 3;
    if (count > size - at) count = size - at;
    struct str piece = fuzz_copy(data + at, count);
    fine = h2_session_receive(w->s, piece.ptr, count, at) && fine;
    free((char *)piece.ptr);
    at += count;
    take_news(w);
    check_sent(w);
    REQUIRE(buf_len(h2_session_out(w->s)) <= OUT + 65536);
    REQUIRE(h2_session_streams(w->s) <= STREAMS);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  struct h2_config config = {.streams = STREAMS,
                             .stream_window = 32768,
                             .window_most = 1 << 17,
                             .held_bytes = HELD,
                             .out_bytes = OUT,
                             .head = limits,
                             .allowances = {{50, 10}, {200, 10}}};
  struct scene w = {.preface_left = PREFACE};
  w.s = h2_session_new(&config, 0);
  run(&w, data, size);
  for (unsigned i = 0; i < STREAMS; i++)
    if (w.known[i]) h2_stream_release(w.known[i]);
  h2_session_send(w.s);
  drain(&w, SIZE_MAX);
  h2_session_free(w.s);
  arena_free(&w.arena);
  return 0;
}
