// SPDX-License-Identifier: Apache-2.0
// http2_call: the call of HTTP/2: a stream of a connection that has many. The request's head is fields, and goes out
// with what comes first behind it, so that a request without a body is one frame. Its body is DATA, the end END_STREAM:
// never of a request that was given up, whose stream is reset. A response is whole once its END_STREAM has come, never
// before, whatever its length.
//
// A call that fails says so where its response is read: whatever has come is read first, and what is missing behind it
// is the failure. So writing fails without a reason, and reading has it (fault_of).
#include "base/check.h"
#include "base/container.h"
#include "exchange/exchange.h"
#include "exchange/grpc.h"
#include "exchange/peer.h"
#include "exchange/proxy.h"
#include "exchange/settings.h"
#include "shared/metrics.h"
#include "upstream/http2.h"
#include "upstream/upstream.h"

enum { HEAD_BYTES = 9 }; /* of a HEADERS frame, at least: what was written is not nothing */

static const struct call_codec codec;
static const struct source_ops source_ops;
static const struct sink_ops sink_ops;

static void on_due(struct timer *timer);

static struct http2_call *of(const struct call *call) { return (struct http2_call *)call; }

/* --- life ----------------------------------------------------------------------------------------------- */

struct http2_call *http2_call_new(struct exchange *x) {
  struct http2_call *c = arena_zalloc(&x->arena, sizeof *c);
  c->peer = x->now.peer;
  c->call = (struct call){.codec = &codec, .exchange = x, .is_http2 = true};
  c->call.source = (struct source){.ops = &source_ops, .of = c, .in = &c->nothing};
  timer_init_patient(&c->call.timer, x->proxy->loop, on_due);
  list_init(&c->link);
  list_init(&c->fed_link);
  x->now.call = &c->call;
  return c;
}

void http2_call_ready(struct http2_call *c, struct http2_connection *h) {
  struct exchange *x = c->call.exchange;
  CHECK(x->now.call == &c->call && !c->connection);
  x->now.reused = h->served > 0;
  if (x->now.reused) cell_add(&x->proxy->tally->upstream_reused, 1);
  timer_clear(&c->call.timer);
  c->connection = h;
  c->call.upstream = h->upstream;
  c->call.is_ready = true;
  c->wants_read = true;
  http2_connection_enter(h, c);
}

void http2_call_detach(struct http2_call *c) {
  bool is_waiting = !c->connection && !list_is_empty(&c->link);
  if (is_waiting) c->peer->http2->waiting_count--;
  list_remove(&c->link);
  list_remove(&c->fed_link);
  timer_stop(&c->call.timer);
}

static void release(struct call *call, bool reusable) {
  struct http2_call *c = of(call);
  struct http2_connection *h = c->connection;
  (void)reusable; /* the others' business, too */
  CHECK(call->exchange);
  if (!call->exchange->sent.status) call->exchange->sent.peers_code = 0; /* another attempt may follow */
  call->exchange = NULL;
  http2_call_detach(c);
  if (!h) return;
  if (h->told == c) h->told = NULL;
  if (c->h2)
    h2_stream_release(c->h2);
  else
    h->unsent--;
  c->h2 = NULL;
  http2_connection_left(h);
}

/* --- events --------------------------------------------------------------------------------------------- */

static bool is_rival(const struct http2_call *c) { return c->call.exchange->now.call != &c->call; }

/* Those who wait for a connection have the time that one may take. */
static void on_due(struct timer *timer) {
  struct http2_call *c = CONTAINER_OF(timer, struct http2_call, call.timer);
  struct exchange *x = c->call.exchange;
  if (!c->connection)
    exchange_fail_because(x, ERROR_CONNECT_TIMEOUT, "no connection had room for the request");
  else if (c->call.is_kept)
    c->call.codec->pause(&c->call);
  else if (is_rival(c))
    hedge_due(x);
  else
    exchange_call_due(x);
}

void http2_call_tell(struct http2_call *c, unsigned news) {
  struct http2_connection *h = c->connection;
  struct exchange *x = c->call.exchange;
  bool is_end = (news & H2_NEWS_RESET) != 0, is_for_reader = (news & ~(unsigned)H2_NEWS_ROOM) != 0;
  bool is_reset = is_end && !c->is_over && c->h2 && !c->h2->is_reset && http2_connection_is_open(h);
  if (is_reset) c->peer->http2->resets++;
  if (is_end) c->is_over = true;
  if (is_end && !is_rival(c) && c->h2 && !c->h2->is_reset) x->sent.peers_code = c->h2->code;
  if (c->call.is_kept) return;
  if (is_rival(c)) {
    if (is_for_reader) hedge_readable(x);
    return;
  }
  h->told = c;
  if (is_for_reader && c->wants_read && !exchange_call_readable(x) && h->told == c) c->wants_read = false;
  if (h->told == c && (is_end || news & H2_NEWS_ROOM)) exchange_call_writable(x);
  h->told = NULL;
}

static void feed(struct http2_call *c) {
  if (list_is_empty(&c->fed_link)) list_push_back(&c->connection->fed, &c->fed_link);
  http2_connection_flush_later(c->connection);
}

void http2_call_lost(struct http2_call *c) {
  c->is_over = true;
  feed(c);
}

static void pause_call(struct call *call) {
  if (!call->is_ready) return; /* it waits for a connection */
  timer_clear(&call->timer);
  of(call)->wants_read = false;
}

static bool is_ready(const struct call *call) {
  const struct http2_call *c = of(call);
  if (!list_is_empty(&c->fed_link)) return true;
  return http2_connection_is_open(c->connection) && conn_is_ready(&call->upstream->conn);
}

static bool has_spoken(struct call *call) {
  (void)call; /* nothing can be said on a stream that does not exist */
  return false;
}

/* --- the request ---------------------------------------------------------------------------------------- */

static bool head(struct call *call, const struct request *request, struct body body, struct str *text,
                 struct sink *sink) {
  struct http2_call *c = of(call);
  struct exchange *x = call->exchange;
  struct request plain = *request;
  http2_tunnel_prepare(c, &plain, &body);
  c->head = h2_fields_of_request(&x->arena, &plain, body, c->peer->options.tls ? STR("https") : STR("http"));
  c->limits = x->settings->head;
  c->limits.lenient = c->peer->options.lenient;
  *text = (struct str){0};
  *sink = (struct sink){.ops = &sink_ops, .of = c};
  return c->head.items != NULL;
}

/* False: there is no stream for it any more, and nothing was sent. */
static bool begin(struct http2_call *c, bool ends) {
  struct http2_connection *h = c->connection;
  struct exchange *x = c->call.exchange;
  struct h2_fields head = c->head;
  c->head.items = NULL;
  c->refusal = http2_connection_is_open(h) ? http2_tunnel_refusal(c) : ERROR_NONE;
  if (http2_connection_is_open(h) && c->refusal == ERROR_NONE)
    c->h2 = h2_session_request(h->session, &head, c->method, ends, &x->arena);
  c->had_no_room = !c->h2;
  if (!c->h2) return false;
  h->unsent--;
  c->h2->owner = c;
  h2_stream_limit(c->h2, &c->limits);
  c->call.source.in = &c->h2->in;
  x->now.up.written += HEAD_BYTES;
  return true;
}

static enum io write_body(struct sink *sink, const struct str *parts, const struct trailers *end,
                          size_t *moved) {
  struct http2_call *c = sink->of;
  struct str rest[RELAY_PARTS];
  if (http2_tunnel_may_follow(c)) end = NULL;
  const struct headers *trailers = end ? end->fields : NULL;
  bool ends = end && !(trailers && trailers->count);
  size_t total = 0;
  for (int i = 0; i < RELAY_PARTS; i++) total += (rest[i] = parts[i]).len;
  if (c->is_over || (c->head.items && !begin(c, ends && !total))) return IO_ERROR;
  http2_connection_flush_later(c->connection);
  if (c->h2->ended) return IO_OK;
  if (total) *moved = h2_stream_write(c->h2, rest, RELAY_PARTS, ends);
  if (*moved < total) return *moved ? IO_OK : IO_AGAIN;
  if (!end || c->h2->ended) return IO_OK;
  struct h2_fields fields = h2_fields_of_trailers(&c->call.exchange->arena, trailers);
  h2_stream_end(c->h2, fields.count ? &fields : NULL);
  return IO_OK;
}

static size_t room_for_body(struct sink *sink) {
  struct http2_call *c = sink->of;
  return c->h2 && !c->is_over ? h2_stream_room(c->h2) : SIZE_MAX;
}

static void want_room(struct sink *sink, bool on) { (void)sink, (void)on; /* H2_NEWS_ROOM follows */ }

static const struct sink_ops sink_ops = {write_body, want_room, room_for_body};

/* What a peer does not take because its window is shut does not move with what others send. */
static uint64_t unsent(const struct call *call) {
  const struct http2_call *c = of(call);
  const struct http2_connection *h = c->connection;
  if (!c->h2 || !http2_connection_is_open(h) || h2_stream_is_shut(c->h2)) return 0;
  return (uint64_t)conn_held_by_kernel(&call->upstream->conn) + buf_len(h2_session_out(h->session));
}

static void cut(struct call *call) { (void)call; /* its stream is reset when it is released */ }

/* --- the response --------------------------------------------------------------------------------------- */

static bool is_whole(const struct http2_call *c) {
  return c->h2 && h2_stream_is_all(c->h2) && !c->h2->is_reset;
}

/* Why nothing more comes. Streams that the peer has certainly not acted on may be repeated (RFC 9113 section 8.7). */
static enum error fault_of(const struct http2_call *c, const char **why) {
  const struct http2_connection *h = c->connection;
  const struct h2_stream *h2 = c->h2;
  bool is_lost = !http2_connection_is_open(h);
  *why = c->refusal != ERROR_NONE ? http2_tunnel_why(c->refusal) : NULL;
  if (c->refusal != ERROR_NONE) return c->refusal;
  if (!h2 || (is_lost && h2_stream_is_unsent(h2, h->written))) return ERROR_UPSTREAM_LEAVING;
  if (h2->was_refused && h2_session_is_leaving(h->session)) return ERROR_UPSTREAM_LEAVING;
  if (h2->was_refused) return ERROR_STREAM_REFUSED;
  *why = h2->why;
  if (h2->is_reset) return ERROR_BAD_RESPONSE;
  *why = is_lost ? (h->why[0] ? h->why : NULL) : h2_code_name(h2->code);
  if (!is_lost && h2->code == H2_HTTP_1_1_REQUIRED && http2_peer_has_choice(c->peer))
    return ERROR_VERSION_REQUIRED;
  return is_lost ? h->error : ERROR_STREAM_RESET;
}

static enum io await_head(struct call *call, enum error *error, const char **why) {
  struct http2_call *c = of(call);
  if (!c->next && c->h2) c->next = h2_stream_head(c->h2);
  if (c->next) return IO_OK;
  if (c->is_over || c->had_no_room) {
    *error = fault_of(c, why);
    if (*error == ERROR_VERSION_REQUIRED)
      http2_peer_required_http1(c->peer, loop_now_ms(call->exchange->proxy->loop));
    return IO_ERROR;
  }
  c->wants_read = true;
  return IO_AGAIN;
}

/* Section 8.1.1. What is only longer than we take is nobody's fault. */
static void blame(struct http2_call *c, const struct h2_head *head) {
  bool is_long = head->bytes > c->limits.head_bytes || head->headers.count >= c->limits.fields;
  if (!is_long) h2_stream_blame(c->h2, H2_PROTOCOL_ERROR, head->why);
}

static bool take_head(struct call *call, size_t *bytes, const char **why) {
  struct http2_call *c = of(call);
  struct h2_head *given = c->next;
  CHECK(given);
  c->next = NULL;
  enum error error = h2_head_response(given, c->method, &call->exchange->response);
  if (error == ERROR_NONE) http2_tunnel_answered(c, &call->exchange->response);
  *bytes = given->bytes;
  *why = given->why;
  if (error != ERROR_NONE) blame(c, given);
  return error == ERROR_NONE;
}

static void take_rest(struct call *call, struct buf *rest) {
  struct http2_call *c = of(call);
  if (c->h2) *rest = h2_stream_take_body(c->h2);
}

static const char *why_of(const struct call *call, enum error *error) {
  const char *why;
  if (fault_of(of(call), &why) == ERROR_LOCAL_SHORTAGE) *error = ERROR_LOCAL_SHORTAGE;
  return why;
}

static enum io read_body(struct source *source, struct trailers *trailers) {
  struct http2_call *c = source->of;
  if (is_whole(c)) {
    trailers->received = &c->h2->trailers;
    if (c->h2->trailers.count) grpc_note_status(c->call.exchange, &c->h2->trailers);
    return IO_EOF;
  }
  if (buf_len(source->in)) return IO_OK;
  return c->is_over ? IO_ERROR : IO_AGAIN;
}

static void use_body(struct source *source, size_t bytes) {
  struct http2_call *c = source->of;
  h2_stream_used(c->h2, bytes);
  if (http2_connection_is_open(c->connection)) http2_connection_flush_later(c->connection);
}

/* What has come already is told at the end of the turn. */
static void want_body(struct source *source, bool on) {
  struct http2_call *c = source->of;
  bool has_some = c->is_over || c->next || (c->h2 && (c->h2->heads || buf_len(&c->h2->in) || is_whole(c)));
  if (on && has_some && c->connection) feed(c);
  c->wants_read = on;
}

static const struct source_ops source_ops = {read_body, use_body, want_body, NULL, NULL};

static const struct call_codec codec = {
    head, has_spoken, await_head, take_head, take_rest, pause_call, unsent, is_ready, why_of, cut, release,
};
