// SPDX-License-Identifier: Apache-2.0
// http1_requests: the wait for each request on a client's connection, and the exchange that begins with its head. The
// hard problem is a client that is never quite silent: the time for a head counts from the first byte of it that
// came, whatever empty lines lie between, and is over with a whole head only. A head that cannot be read makes an
// exchange as well.
#include "downstream/http1.h"

#include "base/check.h"
#include "downstream/downstream.h"
#include "downstream/http2.h"
#include "exchange/deadline.h"
#include "exchange/exchange.h"
#include "exchange/proxy.h"
#include "exchange/room.h"
#include "exchange/walk.h"
#include "http/framing.h"
#include "http/parser.h"
#include "net/timer.h"

enum { READ_BYTES = 16384, EMPTY_BYTES = 64 };

/* --- waiting -------------------------------------------------------------------------------------------- */

void http1_greeted(struct downstream *d) {
  d->state = DOWNSTREAM_IDLE;
  timer_set(&d->stream.timer, downstream_idle_ms(d, WAIT_FIRST));
}

void http1_await(struct downstream *d) {
  if (d->half_closed && !buf_len(&d->in)) {
    downstream_linger(d);
    return;
  }
  d->state = DOWNSTREAM_IDLE;
  d->rest_until_ms = 0;
  conn_want_read(&d->conn, true);
  conn_feed_decrypted(&d->conn);
  timer_set(&d->stream.timer, downstream_idle_ms(d, WAIT_NEXT));
  if (buf_len(&d->in))
    conn_feed(&d->conn);
  else
    buf_release(&d->in);
  room_freed(d->proxy);
}

void http1_forget_head(struct downstream *d) {
  if (d->head_held) downstream_hold_head(d, 0);
}

/* --- a request begins ----------------------------------------------------------------------------------- */

/* What begins at the start of the input. */
struct received {
  size_t length, skipped; /* bytes of the head, and those of them that are empty lines before it */
  struct first_line line;
};

static enum error parse(struct exchange *x, const struct downstream *d, const struct received *received,
                        const char **why) {
  struct str bytes = {buf_ptr(&d->in) + received->skipped, received->length - received->skipped};
  const struct head head = {arena_dup(&x->arena, bytes), received->line};
  enum error error = parser_request(&head, &x->arena, &x->settings->head, &x->request, why);
  x->account.head_bytes = bytes.len;
  if (error != ERROR_NONE) return error;
  if (headers_may_have(&x->request.headers, FIELD_UPGRADE)) negotiation_tell(x);
  framing_strip_request(&x->request);
  return ERROR_NONE;
}

/* Of a head that could not be read: what of its first line is there. */
static __attribute__((cold)) void parse_first_line(struct exchange *x, const struct downstream *d) {
  if (!buf_len(&d->in)) return;
  parser_request_line(arena_dup(&x->arena, buf_str(&d->in)), &x->settings->head, &x->request);
}

/* `error`: why it cannot be read; NONE: it is whole. */
static void begin_exchange(struct downstream *d, size_t length, enum error error) {
  CHECK(d->state == DOWNSTREAM_IDLE || d->state == DOWNSTREAM_HEAD);
  CHECK(error != ERROR_NONE || length >= d->scan.skipped);
  struct received received = {.length = length, .skipped = d->scan.skipped, .line = d->scan.line};
  const char *why = error == ERROR_NONE ? NULL : d->scan.why;
  http1_forget_head(d);
  if (d->requests++ == 0) d->proxy->fresh_count--;
  d->state = DOWNSTREAM_BUSY;
  d->scan = (struct head_scan){0};
  d->head_due_ms = 0;
  d->empty_bytes = 0;
  timer_clear(&d->stream.timer);
  struct exchange *x = exchange_begin(d->proxy, d->service, (struct arena){0});
  x->stream = &d->stream;
  d->stream.exchange = x;
  x->secure = d->conn.tls != NULL;
  if (error == ERROR_NONE) {
    error = parse(x, d, &received, &why);
    buf_consume(&d->in, received.length);
  } else {
    parse_first_line(x, d);
  }
  x->sent.closes = !x->request.keep_alive || exchange_ends_connection(x) ||
                   (x->settings->keepalive_requests && d->requests >= x->settings->keepalive_requests);
  exchange_start(x, error, why);
}

void http1_head_due(struct downstream *d) { begin_exchange(d, 0, ERROR_REQUEST_TIMEOUT); }

void http1_give_up_head(struct downstream *d) {
  d->scan.why = "too much memory is held by heads that are not whole";
  begin_exchange(d, 0, ERROR_REQUEST_TIMEOUT);
}

/* --- its head ------------------------------------------------------------------------------------------- */

/* A part of a head is there: its deadline runs from its first byte and is not moved by further bytes, nor by empty
 * lines that seem to begin anew. */
static void expect_rest_of_head(struct downstream *d) {
  uint64_t now = loop_now_ms(d->proxy->loop);
  if (d->state == DOWNSTREAM_HEAD) return;
  d->state = DOWNSTREAM_HEAD;
  if (!d->head_due_ms) d->head_due_ms = now + wait_ms(WAIT_REQUEST_HEAD, d->service->policy.settings);
  timer_set(&d->stream.timer, d->head_due_ms > now ? d->head_due_ms - now : 0);
}

/* Empty lines alone are no request that could be late or end early (RFC 9112 section 2.2). The timer runs on.
 */
static void skip_empty_lines(struct downstream *d) {
  d->state = DOWNSTREAM_IDLE;
  http1_forget_head(d);
  d->empty_bytes += (unsigned)d->scan.skipped;
  buf_consume(&d->in, d->scan.skipped);
  d->scan = (struct head_scan){0};
}

/* A few of them are put up with, as the RFC wants it; without end they would be a way to wait for ever. */
static bool has_too_many_empty_lines(struct downstream *d) {
  if (d->empty_bytes + d->scan.skipped <= EMPTY_BYTES) return false;
  d->scan.why = "empty lines without end";
  return true;
}

/* A client that knows that HTTP/2 is spoken here begins with this (RFC 9113 section 3.4), which no request of HTTP/1
 * does. True: it is HTTP/2 from here on, or may be, with more of it. */
static bool begins_http2(struct downstream *d) {
  static const char preface[] = "PRI * HTTP/2.0\r\n";
  size_t length = buf_len(&d->in), most = sizeof preface - 1;
  if (!d->service->policy.settings->h2c || d->conn.tls || d->requests || d->state != DOWNSTREAM_IDLE)
    return false;
  if (memcmp(buf_ptr(&d->in), preface, length < most ? length : most) != 0) return false;
  if (length >= most) http2_begin(d);
  return true;
}

/* True: an exchange has begun, or the connection has another protocol from here on. */
static bool scan_head(struct downstream *d) {
  size_t length = 0;
  enum error error = ERROR_NONE;
  const struct parser_limits *limits = &d->service->policy.settings->head;
  if (!buf_len(&d->in)) return false;
  if (begins_http2(d)) return d->state != DOWNSTREAM_IDLE;
  switch (head_scan_request(&d->scan, buf_ptr(&d->in), buf_len(&d->in), limits, &length, &error)) {
  case HEAD_MORE:
    if (has_too_many_empty_lines(d)) break;
    if (d->scan.skipped == buf_len(&d->in))
      skip_empty_lines(d);
    else
      expect_rest_of_head(d);
    return false;
  case HEAD_WHOLE:
  case HEAD_BAD: break;
  }
  if (error == ERROR_NONE && has_too_many_empty_lines(d)) error = ERROR_BAD_REQUEST;
  begin_exchange(d, length, error);
  return true;
}

/* Twice as much each time, but no more than a head may have. */
static size_t more_of_head(const struct downstream *d) {
  size_t length = buf_len(&d->in), most = d->service->policy.settings->head.head_bytes;
  if (!length) return READ_BYTES;
  if (length < most && most - length < length) return most - length;
  return length;
}

static void await_head(struct downstream *d) {
  if (!buf_len(&d->in)) buf_release(&d->in);
  if (d->state == DOWNSTREAM_HEAD && d->in.cap != d->head_held) downstream_hold_head(d, d->in.cap);
  if (d->proxy->heads_held > 0) room_for_heads(d->proxy); /* the last thing here: it may be this one */
}

void http1_read_head(struct downstream *d) {
  size_t moved = 0;
  if (buf_len(&d->in) && d->state == DOWNSTREAM_IDLE && scan_head(d)) return; /* pipelined */
  for (;;) {
    buf_reserve(&d->in, more_of_head(d));
    enum io result = conn_read(&d->conn, buf_tail(&d->in), buf_space(&d->in), &moved);
    if (result == IO_AGAIN) {
      await_head(d);
      return;
    }
    if (result != IO_OK) {
      if (!buf_len(&d->in)) buf_release(&d->in);
      d->half_closed = result == IO_EOF;
      if (d->half_closed && buf_len(&d->in))
        begin_exchange(d, 0, ERROR_REQUEST_TRUNCATED);
      else if (d->half_closed)
        downstream_end_idle(d);
      else
        downstream_close(d);
      return;
    }
    buf_commit(&d->in, moved);
    if (scan_head(d)) return;
  }
}
