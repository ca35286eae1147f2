// SPDX-License-Identifier: Apache-2.0
// http2_connection: a client's connection that speaks HTTP/2, as http/h2_session understands it.
//
// Who owns what. The downstream owns the connection (struct http2), and that its session, which owns the frames and
// the windows. A request's head makes a struct http2_stream and an exchange; the stream lives in the exchange's arena,
// so it is there as long as the exchange wants to look at its request. The session's own stream is held by ours from
// the head until one of these:
//   the exchange is over           -> `end` releases it: END_STREAM has been sent, or it is reset (http2_stream.c)
//   the exchange gives it up       -> `reset` resets and releases it, and the exchange goes on without a client
//   the client resets it           -> H2_NEWS_RESET: released, and the exchange goes on without a client
//   the connection is lost         -> the same for all of them
// Siblings notice nothing of the first three.
//
// What goes out is made into frames at once, in the session's buffer, and written at the end of the loop's turn, all
// that was made in it in one call. A client that reads nothing fills its windows, then that buffer up to out_bytes;
// from there on h2_stream_write takes nothing, relays wait for their sink, and each stream has its own deadline for
// that. As long as the buffer cannot be written nothing is read either, so that no answers to frames pile up.
//
// A client over budget, or at fault: the session has put a GOAWAY into the buffer. It is written, the exchanges are
// told that the client is gone, and the connection lingers and closes (ending.c).
//
// Stop, and a listener that goes: GOAWAY with the highest id, and after a moment one with that of the last stream;
// what comes in between is served. The connection closes behind the last stream. Idle connections are ended the same
// way by their keep-alive timeout.
#include "downstream/http2.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/container.h"
#include "base/log.h"
#include "base/memory.h"
#include "downstream/downstream.h"
#include "exchange/deadline.h"
#include "exchange/exchange.h"
#include "exchange/proxy.h"
#include "exchange/room.h"
#include "exchange/settings.h"
#include "shared/metrics.h"

enum {
  STREAMS = 100,
  WINDOW = 65536,
  WINDOW_MOST = 1 << 20,
  HELD_BYTES = 1 << 20,
  OUT_BYTES = 65536,
  READ_BYTES = 65536,
  READS = 4, /* of one event: others shall have their turn */
};

static void flush(struct http2 *http2);

/* --- life ----------------------------------------------------------------------------------------------- */

static struct h2_config config_of(const struct settings *settings) {
  return (struct h2_config){.is_server = true,
                            .streams = STREAMS,
                            .stream_window = WINDOW,
                            .window_most = WINDOW_MOST,
                            .held_bytes = HELD_BYTES,
                            .out_bytes = OUT_BYTES,
                            .head = settings->head,
                            .allowances = {H2_RESETS_DEFAULT, H2_CONTROLS_DEFAULT}};
}

static bool is_open(const struct http2 *http2) { return http2->downstream->state == DOWNSTREAM_HTTP2; }

void http2_free(struct downstream *d) {
  if (!d->http2) return;
  CHECK(list_is_empty(&d->http2->streams) && !d->http2->flushes);
  h2_session_free(d->http2->session);
  free(d->http2);
}

void http2_gone(struct downstream *d, enum error error) {
  struct list *streams = &d->http2->streams;
  while (!list_is_empty(streams))
    http2_stream_gone(LIST_ENTRY(streams->next, struct http2_stream, link), error);
}

bool http2_is_idle(const struct downstream *d) { return list_is_empty(&d->http2->streams); }

/* Our last words are written; the client may still read them. */
static void finish(struct http2 *http2) {
  struct downstream *d = http2->downstream;
  struct buf *out = h2_session_out(http2->session);
  size_t moved = 0;
  http2_gone(d, ERROR_CLIENT_GONE);
  if (!is_open(http2)) return;
  const struct iovec part = {buf_ptr(out), buf_len(out)};
  if (part.iov_len) conn_write(&d->conn, &part, 1, &moved);
  downstream_linger(d);
}

static void log_fault(struct http2 *http2) {
  struct downstream *d = http2->downstream;
  const char *why = NULL;
  bool by_peer = false;
  uint32_t code = h2_session_fault(http2->session, &why, &by_peer);
  if (code == H2_NO_ERROR) return;
  log_about(LOG_INFO, STR("HTTP/2"), "client %.*s: HTTP/2 connection ended with %s%s%s%s",
            STR_ARG(downstream_client(d)), h2_code_name(code), by_peer ? " by the client" : "",
            why ? ": " : "", why ? why : "");
}

static void fail(struct http2 *http2) {
  log_fault(http2);
  finish(http2);
}

/* --- the end of it -------------------------------------------------------------------------------------- */

/* Our last words, and what is left of answers, have the time that an answer has. */
static void end_when_written(struct http2 *http2) {
  struct downstream *d = http2->downstream;
  timer_set(&d->stream.timer, wait_ms(WAIT_ANSWER_TAKEN, d->service->policy.settings));
  http2_flush_later(http2);
}

static void end(struct http2 *http2) {
  h2_session_end(http2->session, H2_NO_ERROR);
  http2->announced = http2->ended = true;
  if (list_is_empty(&http2->streams))
    end_when_written(http2);
  else
    http2_flush_later(http2);
}

void http2_stop(struct downstream *d, unsigned patience_ms) {
  struct http2 *http2 = d->http2;
  LIST_EACH(node, &http2->streams)
  exchange_hasten(LIST_ENTRY(node, struct http2_stream, link)->stream.exchange);
  if (d->state != DOWNSTREAM_HTTP2 || http2->announced) return;
  http2->announced = true;
  h2_session_announce_end(http2->session);
  timer_set(&d->stream.timer, patience_ms ? patience_ms : LAST_REQUEST_MS);
  http2_flush_later(http2);
}

void http2_due(struct downstream *d) {
  if (d->http2->ended)
    downstream_close(d); /* it takes nothing */
  else
    end(d->http2);
}

static void await(struct http2 *http2) {
  struct downstream *d = http2->downstream;
  timer_set(&d->stream.timer, downstream_idle_ms(d, d->requests ? WAIT_NEXT : WAIT_FIRST));
  room_freed(d->proxy);
}

void http2_stream_left(struct http2 *http2) {
  if (!is_open(http2)) return;
  http2_flush_later(http2);
  if (!list_is_empty(&http2->streams)) return;
  if (http2->ended)
    end_when_written(http2);
  else if (!http2->announced)
    await(http2);
}

/* --- news ----------------------------------------------------------------------------------------------- */

static void begin_stream(struct http2 *http2, struct h2_stream *h2) {
  struct downstream *d = http2->downstream;
  const struct settings *settings = d->service->policy.settings;
  if (list_is_empty(&http2->streams) && !http2->announced) timer_clear(&d->stream.timer);
  if (d->requests++ == 0) d->proxy->fresh_count--;
  bool is_last = settings->keepalive_requests && d->requests >= settings->keepalive_requests;
  http2_stream_begin(http2, h2);
  if (is_last && is_open(http2) && !http2->ended) end(http2);
}

/* What it is told may end its exchange, and it with that. */
static void tell(struct http2 *http2, struct http2_stream *s, unsigned news) {
  if (news & H2_NEWS_RESET) {
    http2_stream_gone(s, ERROR_CLIENT_GONE);
    return;
  }
  http2->told = s;
  if ((news & (H2_NEWS_DATA | H2_NEWS_END)) && s->wants_read) exchange_stream_readable(s->stream.exchange);
  if ((news & H2_NEWS_ROOM) && http2->told == s) exchange_stream_writable(s->stream.exchange);
  http2->told = NULL;
}

/* A stream that had to be reset for what its client sent on it: behind the head, which the exchange speaks of. */
static void log_reset(struct http2 *http2, const struct h2_stream *h2) {
  if (h2->why)
    log_about(LOG_INFO, STR("HTTP/2"), "client %.*s: HTTP/2 stream %d reset with %s: %s",
              STR_ARG(downstream_client(http2->downstream)), h2->id, h2_code_name(h2->code), h2->why);
}

static void read_news(struct http2 *http2) {
  struct h2_stream *h2;
  unsigned news;
  while (is_open(http2) && (h2 = h2_session_next(http2->session, &news))) {
    if (news & H2_NEWS_RESET) log_reset(http2, h2);
    if (h2->owner)
      tell(http2, h2->owner, news);
    else if (news & H2_NEWS_HEAD && !(news & H2_NEWS_RESET))
      begin_stream(http2, h2);
    else
      h2_stream_release(h2); /* also of a request that was reset before anybody looked at it */
  }
}

static void tell_fed(struct http2 *http2) {
  http2->is_fed = false;
  LIST_EACH(node, &http2->streams) {
    struct http2_stream *s = LIST_ENTRY(node, struct http2_stream, link);
    bool is_fed = s->is_fed;
    s->is_fed = false;
    if (is_fed && s->wants_read) exchange_stream_readable(s->stream.exchange);
    if (!is_open(http2)) return;
  }
}

/* --- bytes ---------------------------------------------------------------------------------------------- */

static bool receive(struct http2 *http2, const char *bytes, size_t count) {
  bool is_fine =
      h2_session_receive(http2->session, bytes, count, loop_now_ms(http2->downstream->proxy->loop));
  read_news(http2);
  if (is_fine || !is_open(http2)) return is_open(http2);
  fail(http2);
  return false;
}

void http2_readable(struct downstream *d) {
  static _Thread_local char bytes[READ_BYTES];
  struct http2 *http2 = d->http2;
  if (http2->is_fed) tell_fed(http2);
  for (int i = 0; i < READS && is_open(http2); i++) {
    size_t moved = 0;
    enum io result = conn_read(&d->conn, bytes, sizeof bytes, &moved);
    if (result == IO_AGAIN) break;
    if (result != IO_OK) {
      downstream_close(d);
      return;
    }
    if (!receive(http2, bytes, moved)) return;
    if (i == READS - 1) conn_feed(&d->conn);
  }
  if (is_open(http2)) flush(http2);
}

void http2_writable(struct downstream *d) { flush(d->http2); }

/* IO_OK: all of it. */
static enum io write_out(struct http2 *http2) {
  struct buf *out = h2_session_out(http2->session);
  while (buf_len(out)) {
    const struct iovec part = {buf_ptr(out), buf_len(out)};
    size_t moved = 0;
    enum io result = conn_write(&http2->downstream->conn, &part, 1, &moved);
    if (result != IO_OK) return result;
    buf_consume(out, moved);
  }
  return IO_OK;
}

/* Room in the buffer is news for streams, which fill it again. */
static void flush(struct http2 *http2) {
  struct downstream *d = http2->downstream;
  struct conn *conn = &d->conn;
  if (http2->is_flushing || !is_open(http2)) return;
  http2->is_flushing = true;
  enum io result = IO_OK;
  bool is_fine = true;
  do {
    is_fine = h2_session_send(http2->session);
    if (!buf_len(h2_session_out(http2->session))) break;
    result = write_out(http2);
    if (result == IO_OK) read_news(http2);
  } while (is_fine && result == IO_OK && is_open(http2));
  http2->is_flushing = false;
  if (!is_open(http2)) return;
  if (result == IO_ERROR) {
    downstream_close(d);
  } else if (!is_fine) {
    fail(http2);
  } else {
    bool is_stuck = result == IO_AGAIN;
    conn_want_write(conn, is_stuck);
    conn_want_read(conn, !is_stuck);
    bool is_over = http2->ended && !is_stuck && list_is_empty(&http2->streams);
    if (is_over || h2_session_is_over(http2->session)) finish(http2);
  }
}

static void on_end_of_turn(struct reaped *reaped) {
  struct http2 *http2 = CONTAINER_OF(reaped, struct http2, at_end);
  http2->flushes = false;
  http2->at_end.free = NULL;
  flush(http2);
}

void http2_flush_later(struct http2 *http2) {
  if (http2->flushes || http2->is_flushing) return;
  http2->flushes = true;
  reaper_add(&http2->downstream->proxy->reaper, &http2->at_end, on_end_of_turn);
}

void http2_begin(struct downstream *d) {
  struct http2 *http2 = memory_zalloc(sizeof *http2);
  struct h2_config config = config_of(d->service->policy.settings);
  http2->downstream = d;
  http2->session = h2_session_new(&config, loop_now_ms(d->proxy->loop));
  list_init(&http2->streams);
  d->http2 = http2;
  d->state = DOWNSTREAM_HTTP2;
  await(http2);
  struct buf first = d->in;
  d->in = (struct buf){0};
  if (!buf_len(&first) || receive(http2, buf_ptr(&first), buf_len(&first))) flush(http2);
  buf_release(&first);
}
