// SPDX-License-Identifier: Apache-2.0
// http2_io: bytes from and to a client's connection that speaks HTTP/2, and the news of its streams that come with it.
// The one hard problem is that whatever is told may end its exchange, the stream, or the connection: so each step looks
// whether the connection is still there.
#include "base/check.h"
#include "base/container.h"
#include "base/log.h"
#include "downstream/downstream.h"
#include "downstream/http2.h"
#include "exchange/deadline.h"
#include "exchange/exchange.h"
#include "exchange/proxy.h"
#include "exchange/room.h"

enum {
  READ_BYTES = 65536,
  READS = 4, /* of one event: others shall have their turn */
  RECORD_SMALL = 1024,
};

static void flush(struct http2 *http2);

/* --- news ----------------------------------------------------------------------------------------------- */

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
  while (http2_is_open(http2) && (h2 = h2_session_next(http2->session, &news))) {
    if (news & H2_NEWS_RESET) log_reset(http2, h2);
    if (h2->owner)
      tell(http2, h2->owner, news);
    else if (news & H2_NEWS_HEAD && !(news & H2_NEWS_RESET))
      http2_stream_comes(http2, h2);
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
    if (!http2_is_open(http2)) return;
  }
}

/* --- bytes ---------------------------------------------------------------------------------------------- */

/* From the first frame of a head to its last, as in HTTP/1 from the first byte. */
static void watch_head(struct http2 *http2) {
  const struct settings *settings = http2->downstream->service->policy.settings;
  size_t part = h2_session_part_of_head(http2->session);
  struct downstream *d = http2->downstream;
  http2_heard(http2);
  if (part != d->head_held) downstream_hold_head(d, part);
  if (!part) {
    http2_clock_clear(http2, HTTP2_CLOCK_HEAD);
  } else if (!http2->due_ms[HTTP2_CLOCK_HEAD]) {
    http2_clock_set(http2, HTTP2_CLOCK_HEAD, wait_ms(WAIT_REQUEST_HEAD, settings));
    d->head_due_ms = http2->due_ms[HTTP2_CLOCK_HEAD];
  }
}

static bool receive(struct http2 *http2, const char *bytes, size_t count) {
  bool is_fine =
      h2_session_receive(http2->session, bytes, count, loop_now_ms(http2->downstream->proxy->loop));
  read_news(http2);
  if (http2_is_open(http2)) watch_head(http2);
  if (is_fine || !http2_is_open(http2)) return http2_is_open(http2);
  http2_fail(http2);
  return false;
}

/* Nothing is there behind it, as it seems; if there is, the loop tells. A record of TLS is read by itself. */
static bool is_all(const struct conn *conn, size_t moved) {
  return moved < (conn_is_plain(conn) ? READ_BYTES : RECORD_SMALL);
}

void http2_readable(struct downstream *d) {
  static _Thread_local char bytes[READ_BYTES];
  struct http2 *http2 = d->http2;
  if (http2->is_fed) tell_fed(http2);
  for (int i = 0; i < READS && http2_is_open(http2); i++) {
    size_t moved = 0;
    enum io result = conn_read(&d->conn, bytes, sizeof bytes, &moved);
    if (result == IO_AGAIN) break;
    if (result != IO_OK) {
      downstream_close(d);
      return;
    }
    if (!receive(http2, bytes, moved)) return;
    if (is_all(&d->conn, moved)) break;
    if (i == READS - 1) conn_feed(&d->conn);
  }
  if (http2_is_open(http2))
    http2_flush_later(http2); /* with what other connections bring for it in this turn */
  if (d->proxy->heads_held > 0) room_for_heads(d->proxy); /* this one may be given up */
}

void http2_writable(struct downstream *d) { flush(d->http2); }

enum io http2_write(struct http2 *http2) {
  struct buf *out = h2_session_out(http2->session);
  size_t before = buf_len(out);
  enum io result = conn_write_all(&http2->downstream->conn, out);
  http2->written += before - buf_len(out);
  if (!buf_len(out)) h2_session_emptied(http2->session, before);
  return result;
}

/* Room in the buffer is news for streams, which fill it again. */
static void flush(struct http2 *http2) {
  struct downstream *d = http2->downstream;
  struct conn *conn = &d->conn;
  if (http2->is_flushing || !http2_is_open(http2)) return;
  http2->is_flushing = true;
  enum io result = IO_OK;
  bool is_fine = true;
  do {
    is_fine = h2_session_send(http2->session);
    if (!buf_len(h2_session_out(http2->session))) break;
    result = http2_write(http2);
    if (result == IO_OK) read_news(http2);
  } while (is_fine && result == IO_OK && http2_is_open(http2));
  http2->is_flushing = false;
  if (!http2_is_open(http2)) return;
  if (result == IO_ERROR) {
    downstream_close(d);
  } else if (!is_fine) {
    http2_fail(http2);
  } else {
    bool is_stuck = result == IO_AGAIN;
    conn_want_write(conn, is_stuck);
    conn_want_read(conn, !is_stuck);
    bool is_over = http2->ended && !is_stuck && list_is_empty(&http2->streams);
    if (is_over || h2_session_is_over(http2->session)) http2_finish(http2);
  }
}

static void on_end_of_turn(struct reaped *reaped) {
  struct http2 *http2 = CONTAINER_OF(reaped, struct http2, at_end);
  struct downstream *d = http2->downstream;
  http2->flushes = false;
  http2->at_end.free = NULL;
  flush(http2);
  if (d->state != DOWNSTREAM_LINGER || http2->flushes) return;
  http2_free(d);
  d->http2 = NULL;
}

void http2_flush_later(struct http2 *http2) {
  if (http2->flushes || http2->is_flushing) return;
  http2->flushes = true;
  reaper_add(&http2->downstream->proxy->reaper, &http2->at_end, on_end_of_turn);
}

uint64_t http2_made(const struct http2 *http2) {
  return http2->written + buf_len(h2_session_out(http2->session));
}

uint64_t http2_untaken(const struct http2 *http2, uint64_t made) {
  uint64_t held = (uint64_t)conn_held_by_kernel(&http2->downstream->conn);
  uint64_t taken = http2->written > held ? http2->written - held : 0;
  return made > taken ? made - taken : 0;
}

void http2_take_first(struct http2 *http2) {
  struct downstream *d = http2->downstream;
  struct buf first = d->in;
  d->in = (struct buf){0};
  if (!buf_len(&first) || receive(http2, buf_ptr(&first), buf_len(&first))) flush(http2);
  buf_release(&first);
}
