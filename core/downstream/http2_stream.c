// SPDX-License-Identifier: Apache-2.0
// http2_stream: the stream of HTTP/2. A head is fields, and goes out with what comes first behind it, so that a message
// without a body is one frame, and a response whose first piece fails can still be another one. The body is DATA, its
// end END_STREAM: never of a response that was cut, whose stream is reset.
#include "downstream/http2.h"

#include "base/check.h"
#include "base/container.h"
#include "base/random.h"
#include "downstream/downstream.h"
#include "exchange/exchange.h"
#include "exchange/proxy.h"
#include "exchange/walk.h"
#include "http/websocket.h"

enum {
  HEAD_BYTES = 9,         /* of a HEADERS frame, at least: what was written is not nothing */
  SHARED_BYTES = 1 << 18, /* of bodies that wait, of all streams of a connection */
  FEW_STREAMS = 10,       /* up to so many streams may have a whole read each */
  FEW_BYTES = RELAY_BUFFER_LARGE
};

static const struct stream_codec codec;
static const struct source_ops source_ops;
static const struct sink_ops sink_ops;

static void on_due(struct timer *timer) {
  struct http2_stream *s = CONTAINER_OF(timer, struct http2_stream, stream.timer);
  exchange_stream_due(s->stream.exchange);
}

/* --- begin ---------------------------------------------------------------------------------------------- */

static struct http2_stream *new_stream(struct http2 *http2, struct h2_stream *h2, struct exchange *x) {
  struct http2_stream *s = arena_zalloc(&x->arena, sizeof *s);
  struct downstream *d = http2->downstream;
  s->http2 = http2;
  s->h2 = h2;
  h2->owner = s;
  h2_stream_use_arena(h2, &x->arena);
  s->stream = (struct stream){.codec = &codec, .exchange = x, .service = d->service, .downstream = d};
  s->stream.source = (struct source){.ops = &source_ops, .of = s, .in = &h2->in};
  timer_init_patient(&s->stream.timer, d->proxy->loop, on_due);
  list_push_back(&http2->streams, &s->link);
  x->stream = &s->stream;
  x->secure = d->conn.tls != NULL;
  return s;
}

static __attribute__((cold)) void give_key(struct exchange *x) {
  const uint64_t nonce[] = {random_next(&x->proxy->dice), random_next(&x->proxy->dice)};
  websocket_to_http1(&x->request, nonce);
}

void http2_stream_begin(struct http2 *http2, struct h2_stream *h2) {
  struct downstream *d = http2->downstream;
  struct h2_head *head = h2_stream_head(h2);
  struct exchange *x = exchange_begin(d->proxy, d->service, h2_stream_give_arena(h2));
  struct http2_stream *s = new_stream(http2, h2, x);
  head->headers.arena = &x->arena;
  enum error error = h2_head_request(head, http2->takes_tunnels, &x->request);
  if (x->request.is_extended_connect) give_key(x);
  x->account.head_bytes = head->bytes;
  s->is_malformed = error != ERROR_NONE && error_info(error)->status == 400;
  exchange_start(x, error, head->why);
}

/* --- in ------------------------------------------------------------------------------------------------- */

static enum io read_body(struct source *source, struct trailers *trailers) {
  struct http2_stream *s = source->of;
  if (!s->h2 || s->h2->is_reset) return IO_ERROR;
  if (!h2_stream_is_all(s->h2)) return buf_len(&s->h2->in) ? IO_OK : IO_AGAIN;
  trailers->received = &s->h2->trailers;
  return IO_EOF;
}

static void use_body(struct source *source, size_t bytes) {
  struct http2_stream *s = source->of;
  if (!s->h2) return;
  h2_stream_used(s->h2, bytes);
  http2_flush_later(s->http2);
}

/* What has come already is told from the loop. */
static void want_body(struct source *source, bool on) {
  struct http2_stream *s = source->of;
  bool has_some = s->h2 && (buf_len(&s->h2->in) || s->h2->peer_ended);
  if (on && !s->wants_read && has_some) {
    s->is_fed = s->http2->is_fed = true;
    conn_feed(&s->http2->downstream->conn);
  }
  s->wants_read = on;
}

static const struct source_ops source_ops = {read_body, use_body, want_body, NULL, NULL};

static bool is_ready(const struct stream *stream) { return conn_is_ready(&stream->downstream->conn); }

/* --- out ------------------------------------------------------------------------------------------------ */

static enum framing framing(const struct stream *stream) {
  (void)stream;
  return FRAMING_CHUNKED;
}

static bool send_interim(struct http2_stream *s, const struct response *response) {
  struct exchange *x = s->stream.exchange;
  struct response plain = {.status = 100};
  headers_init(&plain.headers, &x->arena);
  struct h2_fields fields =
      h2_fields_of_response(&x->arena, response ? response : &plain, (struct body){FRAMING_NONE, 0});
  if (!fields.items) return false;
  h2_stream_send_head(s->h2, &fields, true, false);
  http2_flush_later(s->http2);
  return true;
}

static bool head(struct stream *stream, const struct stream_head *given, struct str *text,
                 struct sink *sink) {
  struct http2_stream *s = (struct http2_stream *)stream;
  *text = (struct str){0};
  *sink = (struct sink){0};
  if (s->is_malformed) { /* section 8.1.1 */
    h2_stream_blame(s->h2, H2_PROTOCOL_ERROR, "a malformed request");
    return true;
  }
  if (given->kind == HEAD_INTERIM) return send_interim(s, given->response);
  struct arena *arena = &stream->exchange->arena;
  struct response tunnel;
  if (given->kind == HEAD_TUNNEL) tunnel = websocket_to_http2(given->response, arena);
  s->head = h2_fields_of_response(arena, given->kind == HEAD_TUNNEL ? &tunnel : given->response, given->body);
  s->has_head = s->head.items != NULL;
  *sink = (struct sink){.ops = &sink_ops, .of = s};
  return s->has_head;
}

/* True: nothing follows it. */
static bool send_head(struct http2_stream *s, bool ends) {
  s->has_head = false;
  h2_stream_send_head(s->h2, &s->head, false, ends);
  s->stream.exchange->down.written += HEAD_BYTES;
  return ends;
}

static void send_end(struct http2_stream *s, const struct headers *trailers) {
  struct h2_fields fields = h2_fields_of_trailers(&s->stream.exchange->arena, trailers);
  h2_stream_end(s->h2, fields.count ? &fields : NULL);
}

static enum io write_body(struct sink *sink, const struct str *parts, const struct trailers *end,
                          size_t *moved) {
  struct http2_stream *s = sink->of;
  struct str rest[RELAY_PARTS];
  const struct headers *trailers = end ? end->fields : NULL;
  bool ends = end && !(trailers && trailers->count);
  size_t total = 0;
  if (!s->h2) return IO_ERROR;
  for (int i = 0; i < RELAY_PARTS; i++) total += (rest[i] = parts[i]).len;
  http2_flush_later(s->http2);
  if (s->has_head && !h2_stream_takes_head(s->h2)) return IO_AGAIN;
  if (s->has_head && send_head(s, ends && !total)) return IO_OK;
  if (total) *moved = h2_stream_write(s->h2, rest, RELAY_PARTS, ends);
  if (*moved) s->made = http2_made(s->http2);
  if (*moved < total) return *moved ? IO_OK : IO_AGAIN;
  if (end && (!total || !ends)) send_end(s, trailers);
  return IO_OK;
}

static size_t room_for_body(struct sink *sink) {
  struct http2_stream *s = sink->of;
  return s->h2 ? h2_stream_room(s->h2) : SIZE_MAX;
}

static void want_room(struct sink *sink, bool on) { (void)sink, (void)on; /* H2_NEWS_ROOM follows */ }

static const struct sink_ops sink_ops = {write_body, want_room, room_for_body};

/* What of the connection's bytes is this stream's nobody knows: all of it stands before what it wrote last. */
static uint64_t unsent(const struct stream *stream) {
  const struct http2_stream *s = (const struct http2_stream *)stream;
  uint64_t written = stream->exchange->down.written, untaken = http2_untaken(s->http2, s->made);
  return untaken < written ? untaken : written;
}

static size_t share(const struct stream *stream, size_t *room) {
  const struct http2_stream *s = (const struct http2_stream *)stream;
  *room = h2_stream_room(s->h2);
  unsigned count = h2_session_streams(s->http2->session);
  size_t part = SHARED_BYTES / count;
  return count <= FEW_STREAMS && part < FEW_BYTES ? FEW_BYTES : part;
}

/* --- the end -------------------------------------------------------------------------------------------- */

static uint32_t code_of(enum error error) {
  switch (error_info(error)->side) {
  case SIDE_DOWNSTREAM: return H2_CANCEL;
  case SIDE_UPSTREAM:
  case SIDE_INTERNAL: break;
  }
  return H2_INTERNAL_ERROR;
}

/* Of a response that is cut. What the peer has said of it is the client's to know where it means the same there. */
static uint32_t code_of_cut(const struct exchange *x) {
  switch (x->sent.peers_code) {
  case H2_CANCEL:
  case H2_ENHANCE_YOUR_CALM:
  case H2_INADEQUATE_SECURITY: return x->sent.peers_code;
  }
  return code_of(x->error);
}

static void let_go(struct http2_stream *s) {
  struct h2_stream *h2 = s->h2;
  s->h2 = NULL;
  s->stream.exchange = NULL;
  timer_stop(&s->stream.timer);
  list_remove(&s->link);
  if (s->http2->told == s) s->http2->told = NULL;
  h2_stream_release(h2);
  http2_stream_left(s->http2);
}

static void end(struct stream *stream) {
  struct http2_stream *s = (struct http2_stream *)stream;
  const struct exchange *x = stream->exchange;
  bool closes = x->answer && x->answer->close;
  bool is_policys = x->answer && x->answer->resets, is_cut_tunnel = x->tunnel && !x->down.done;
  if (x->sent.aborted || !x->sent.status)
    h2_stream_reset(s->h2, is_policys ? x->answer->code : code_of_cut(x));
  else if (is_cut_tunnel)
    h2_stream_reset(s->h2, H2_CONNECT_ERROR); /* section 8.5 */
  let_go(s);
  if (closes) http2_announce_last(s->http2);
}

void http2_stream_gone(struct http2_stream *s, enum error error) {
  struct exchange *x = s->stream.exchange;
  let_go(s);
  exchange_client_gone(x, error);
}

static void reset(struct stream *stream, enum error error) {
  struct http2_stream *s = (struct http2_stream *)stream;
  h2_stream_reset(s->h2, code_of(error));
  http2_stream_gone(s, error);
}

static void pause_stream(struct stream *stream, bool watches) {
  struct http2_stream *s = (struct http2_stream *)stream;
  (void)watches; /* a reset is told in any case */
  timer_clear(&stream->timer);
  s->wants_read = false;
}

static const struct stream_codec codec = {framing, head, pause_stream, unsent, is_ready, share, end, reset};
