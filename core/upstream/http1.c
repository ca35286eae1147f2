// SPDX-License-Identifier: Apache-2.0
// http1: the call of HTTP/1: heads are text, bodies are on the wire, and the connection is another request's
// afterwards where nothing of this one is left on it. Whatever the client speaks, to the peer it is HTTP/1.1.
#include "base/check.h"
#include "exchange/exchange.h"
#include "exchange/peer.h"
#include "exchange/proxy.h"
#include "exchange/settings.h"
#include "exchange/stream.h"
#include "http/writer.h"
#include "relay/relay.h"
#include "upstream/pool.h"
#include "upstream/upstream.h"

/* --- the request ---------------------------------------------------------------------------------------- */

/* What has no body over HTTP/2 says so by the end of its stream. In HTTP/1.1 a length says it: some servers refuse such
 * methods without one (RFC 9110 section 8.6). */
static struct body body_of(const struct request *request, struct body body) {
  bool wants_length =
      request->method == METHOD_POST || request->method == METHOD_PUT || request->method == METHOD_PATCH;
  bool is_silent = request->is_http2 && body.framing == FRAMING_NONE;
  return is_silent && wants_length ? (struct body){FRAMING_LENGTH, 0} : body;
}

static bool head(struct call *c, const struct request *request, struct body body, struct str *text,
                 struct sink *sink) {
  struct upstream *u = c->upstream;
  u->limits = c->exchange->settings->head;
  u->limits.lenient = u->peer->options.lenient;
  struct writer_hop hop = {.te_trailers = request->accepts_trailers, .upgrade = request->upgrade};
  *text = writer_request(&c->exchange->arena, request, body_of(request, body), &hop);
  *sink = (struct sink){.conn = &u->conn};
  return text->ptr != NULL;
}

static bool has_spoken(struct call *c) { return conn_look(&c->upstream->conn) == IO_OK; }

static uint64_t unsent(const struct call *c) { return (uint64_t)conn_held_by_kernel(&c->upstream->conn); }

static void cut(struct call *c) { conn_reset_on_close(&c->upstream->conn); }

/* --- the response --------------------------------------------------------------------------------------- */

static enum io ended_early(struct upstream *u, enum io result, enum error *error) {
  bool is_ours = result == IO_ERROR && conn_is_short(&u->conn);
  *error = is_ours           ? ERROR_LOCAL_SHORTAGE
           : buf_len(&u->in) ? ERROR_RESPONSE_TRUNCATED
                             : ERROR_UPSTREAM_CLOSED;
  return result;
}

static enum head_result scan(struct upstream *u, enum error *error) {
  size_t length = 0;
  enum head_result result =
      head_scan_response(&u->scan, buf_ptr(&u->in), buf_len(&u->in), &u->limits, &length, error);
  if (result == HEAD_WHOLE) u->head_length = length;
  return result;
}

/* For a client that may not take so much. */
static __attribute__((noinline)) size_t taken_ahead(const struct exchange *x) {
  const struct stream *s = x->stream;
  size_t room = RELAY_BUFFER_LARGE, most = s && s->codec->share ? s->codec->share(s, &room) : room;
  if (most > room) most = room;
  return most < RELAY_LOOK ? RELAY_LOOK : most > RELAY_BUFFER_LARGE ? RELAY_BUFFER_LARGE : most;
}

/* A body that is behind the head should not come in small pieces, unless the kernel will hand on its rest. */
static inline size_t read_with_head(const struct call *c) {
  if (c->upstream->peer->sends_long) return RELAY_BEGIN;
  return c->exchange->request.is_http2 ? taken_ahead(c->exchange) : RELAY_BUFFER_LARGE;
}

static enum io await_head(struct call *c, enum error *error, const char **why) {
  struct upstream *u = c->upstream;
  while (!u->head_length) {
    if (buf_len(&u->in)) {
      enum head_result result = scan(u, error);
      *why = u->scan.why;
      if (result != HEAD_MORE) return result == HEAD_WHOLE ? IO_OK : IO_ERROR;
    }
    size_t moved = 0, most = read_with_head(c);
    buf_reserve_tight(&u->in, buf_len(&u->in) ? buf_len(&u->in) : most);
    enum io result = conn_read(&u->conn, buf_tail(&u->in), buf_space(&u->in), &moved);
    if (result == IO_EOF || result == IO_ERROR) return ended_early(u, result, error);
    if (result == IO_AGAIN) {
      if (!buf_len(&u->in)) buf_release(&u->in);
      conn_want_read(&u->conn, true);
      return IO_AGAIN;
    }
    buf_commit(&u->in, moved);
  }
  return IO_OK;
}

static bool take_head(struct call *c, size_t *bytes, const char **why) {
  struct upstream *u = c->upstream;
  struct exchange *x = c->exchange;
  CHECK(u->head_length > 0 && u->head_length <= buf_len(&u->in));
  const struct head given = {arena_dup(&x->arena, (struct str){buf_ptr(&u->in), u->head_length}),
                             u->scan.line};
  *bytes = u->head_length;
  buf_consume(&u->in, u->head_length);
  u->head_length = 0;
  u->scan = (struct head_scan){0};
  return parser_response(&given, &x->arena, &u->limits, x->now.request.method, &x->response, why) ==
         ERROR_NONE;
}

static void take_rest(struct call *c, struct buf *rest) {
  *rest = c->upstream->in;
  c->upstream->in = (struct buf){0};
}

static bool is_ready(const struct call *c) { return conn_is_ready(&c->upstream->conn); }

static const char *why_of(const struct call *c, enum error *error) {
  if (conn_is_short(&c->upstream->conn)) *error = ERROR_LOCAL_SHORTAGE;
  return conn_error(&c->upstream->conn);
}

/* --- the end -------------------------------------------------------------------------------------------- */

static void pause_call(struct call *c) {
  if (!c->is_ready) return; /* it still connects */
  timer_clear(&c->timer);
  conn_want_read(&c->upstream->conn, false);
  conn_want_write(&c->upstream->conn, false);
}

/* It goes back into the pool if nothing is unread or unsent and its peer keeps idle connections. */
static bool is_for_pool(const struct upstream *u) {
  return u->state == UPSTREAM_READY && buf_len(&u->in) == 0 && !conn_has_unsent(&u->conn) &&
         !u->proxy->stopping && u->peer->options.idle_timeout_ms != PEER_NO_POOL &&
         !u->peer->options.proxy_protocol;
}

static void release(struct call *c, bool reusable) {
  struct upstream *u = c->upstream;
  CHECK_OBJ(u, UPSTREAM_MAGIC);
  CHECK(c->exchange);
  c->exchange = NULL;
  if (!reusable || !is_for_pool(u)) {
    upstream_close(u);
    return;
  }
  buf_release(&u->in);
  u->served++;
  pool_put(u);
}

static const struct call_codec codec = {
    head, has_spoken, await_head, take_head, take_rest, pause_call, unsent, is_ready, why_of, cut, release,
};

void http1_call_init(struct upstream *u) {
  u->call.codec = &codec;
  u->call.upstream = u;
  u->call.source = (struct source){.conn = &u->conn, .in = &u->in};
}
