// SPDX-License-Identifier: Apache-2.0
// http1_stream: the stream of HTTP/1: heads are text, the body is on the wire, and its end is said by lengths, chunks
// or the end of the connection. The hard problem is whether the connection lives on behind a response: where the
// client might send something else next than a request, or more of its body than we would read away, it does not.
#include "base/check.h"
#include "downstream/downstream.h"
#include "downstream/http1.h"
#include "exchange/exchange.h"
#include "exchange/settings.h"
#include "exchange/walk.h"
#include "http/writer.h"
#include "relay/relay.h"

#define CONTINUE "HTTP/1.1 100 Continue\r\n\r\n"

/* --- in ------------------------------------------------------------------------------------------------- */

/* The request is whole: what comes now is the next one, or the end. One read tells; the rest stays in the kernel. */
static void look_ahead(struct downstream *d) {
  size_t moved = 0;
  conn_want_read(&d->conn, false);
  if (buf_len(&d->in)) return;
  buf_reserve(&d->in, RELAY_BUFFER);
  enum io result = conn_read(&d->conn, buf_tail(&d->in), buf_space(&d->in), &moved);
  if (result == IO_OK)
    buf_commit(&d->in, moved);
  else
    buf_release(&d->in);
  if (result == IO_EOF) {
    d->half_closed = true;
    if (exchange_gives_up(d->stream.exchange)) downstream_close(d);
    return;
  }
  if (result == IO_AGAIN) conn_want_read(&d->conn, true);
  if (result == IO_ERROR) downstream_close(d);
}

void http1_stream_readable(struct downstream *d) {
  struct exchange *x = d->stream.exchange;
  if (exchange_stream_readable(x)) return;
  if (x->now.up.decoder.ended)
    look_ahead(d);
  else
    conn_want_read(&d->conn, false);
}

static bool is_ready(const struct stream *s) { return conn_is_ready(&s->downstream->conn); }

/* --- out ------------------------------------------------------------------------------------------------ */

/* HTTP/1.0 knows no chunks: there the connection's end ends the body. */
static enum framing framing(const struct stream *s) {
  return s->exchange->request.minor >= 1 ? FRAMING_CHUNKED : FRAMING_CLOSE;
}

/* Might the client send something else than a request next, or more of its body than we would read away? What
 * follows a CONNECT that was not granted is often meant for the tunnel, but a login may be tried again (RFC
 * 9110 section 11.7). */
static bool leaves_doubt(const struct exchange *x, unsigned status, bool is_taken) {
  const struct relay *up = &x->now.up;
  if (exchange_ends_connection(x) || transfer_is_hopeless(x)) return true;
  if (x->request.method == METHOD_CONNECT && status != 407) return true;
  if (up->decoder.ended || is_taken) return false;
  uint64_t left = up->decoder.body.framing == FRAMING_CHUNKED ? 1 : up->decoder.left;
  return left > x->settings->drain_bytes;
}

static bool ends_connection(const struct exchange *x, const struct stream_head *head) {
  if (head->kind == HEAD_TUNNEL || head->body.framing == FRAMING_CLOSE) return true;
  return leaves_doubt(x, head->response->status, head->is_taken);
}

static struct writer_hop hop_of(const struct exchange *x, const struct stream_head *head) {
  struct writer_hop hop = {0};
  if (head->kind == HEAD_INTERIM) return hop;
  hop.upgrade = head->response->upgrade; /* a 426 has one too (RFC 9110 section 15.5.22) */
  if (head->kind == HEAD_TUNNEL) return hop;
  hop.close = x->sent.closes;
  hop.keep_alive = !x->sent.closes && x->request.minor == 0;
  return hop;
}

/* A server that was told to expect a 100 sends it before its 101 (RFC 9110 section 7.8). */
static struct str behind_continue(struct exchange *x, struct str text) {
  return arena_printf(&x->arena, CONTINUE "%.*s", STR_ARG(text));
}

/* A response that has no body says so by its stream where it comes over HTTP/2. Here a length must, or the client takes
 * what follows for its body (RFC 9112 section 6.3). */
static struct body body_of(const struct exchange *x, const struct stream_head *given) {
  unsigned status = given->response->status;
  bool has_none = status < 200 || response_has_no_body(x->request.method, status);
  bool is_silent = given->kind == HEAD_FINAL && given->body.framing == FRAMING_NONE;
  return is_silent && !has_none ? (struct body){FRAMING_LENGTH, 0} : given->body;
}

static bool head(struct stream *s, const struct stream_head *given, struct str *text, struct sink *sink) {
  struct exchange *x = s->exchange;
  *sink = (struct sink){.conn = &s->downstream->conn};
  if (!given->response) {
    *text = STR(CONTINUE);
    return true;
  }
  bool closed = x->sent.closes;
  if (given->kind != HEAD_INTERIM && ends_connection(x, given)) x->sent.closes = true;
  struct writer_hop hop = hop_of(x, given);
  *text = writer_response(&x->arena, given->response, body_of(x, given), &hop);
  if (!text->ptr) x->sent.closes = closed;
  if (text->ptr && given->continues) *text = behind_continue(x, *text);
  return text->ptr != NULL;
}

static uint64_t unsent(const struct stream *s) { return (uint64_t)conn_held_by_kernel(&s->downstream->conn); }

/* --- the end -------------------------------------------------------------------------------------------- */

static void pause_stream(struct stream *s, bool watches) {
  struct conn *conn = &s->downstream->conn;
  timer_clear(&s->timer);
  conn_want_read(conn, watches);
  conn_want_write(conn, false);
}

static void end(struct stream *s) { http1_ended(s->downstream); }

static void reset(struct stream *s, enum error error) { downstream_close_because(s->downstream, error); }

static const struct stream_codec codec = {framing, head, pause_stream, unsent, is_ready, NULL, end, reset};

void http1_stream_init(struct downstream *d) {
  d->stream.codec = &codec;
  d->stream.service = d->service;
  d->stream.downstream = d;
  d->stream.source = (struct source){.conn = &d->conn, .in = &d->in};
}
