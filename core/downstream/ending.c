// SPDX-License-Identifier: Apache-2.0
// ending: what follows an exchange on its client's connection. The hard problem is that whatever was answered must be
// readable for the client, although it may still be sending: so after an early answer the rest of the request body is
// read away within bounds, and a close ends our direction first and waits shortly for the client's (invariant I10).
//
// A close is announced or patient: where the head of a response has promised that the connection lives on, the next
// request is answered, also when the proxy has begun to stop meanwhile (http1_await).
#include <stdlib.h>

#include "base/check.h"
#include "base/memory.h"
#include "downstream/downstream.h"
#include "downstream/http1.h"
#include "exchange/deadline.h"
#include "exchange/exchange.h"
#include "exchange/proxy.h"
#include "relay/relay.h"

/* Of reading away what nobody wants: the longest time in all, and while the proxy stops. */
enum { REST_MS = 30000, REST_STOPPING_MS = 2000, SCRATCH_BYTES = 16384 };

static void drain(struct downstream *d);

/* Where the end of the connection is the end of the response, a response that is cut off must not look whole:
 * its client gets a reset. */
void ending_shows_cut(struct downstream *d) {
  const struct exchange *x = d->stream.exchange;
  bool ends_with_connection = x->sent.status && x->down.out == FRAMING_CLOSE;
  if (ends_with_connection && !x->down.done) conn_reset_on_close(&d->conn);
}

/* --- the rest of what the client sends -------------------------------------------------------------------- */

static void watch_rest(struct downstream *d) {
  uint64_t now = loop_now_ms(d->proxy->loop), most = d->proxy->stopping ? REST_STOPPING_MS : REST_MS;
  unsigned pause_ms = wait_ms(WAIT_REST, d->service->policy.settings);
  if (!d->rest_until_ms || d->rest_until_ms > now + most) d->rest_until_ms = now + most;
  uint64_t left = d->rest_until_ms > now ? d->rest_until_ms - now : 0;
  timer_set(&d->stream.timer, left < pause_ms ? left : pause_ms);
}

/* A close with bytes unread would reset the connection, and the client might lose what it has not read yet. As long
 * as it takes less than we have to say, nothing else ends it than the time that an answer has. */
static void go_on_lingering(struct downstream *d) {
  bool has_unsent = conn_has_unsent(&d->conn);
  if (d->half_closed && !has_unsent && !d->conn.shuts) {
    downstream_close(d);
    return;
  }
  conn_want_write(&d->conn, has_unsent);
  conn_want_read(&d->conn, !d->half_closed);
  if (has_unsent)
    timer_set(&d->stream.timer, wait_ms(WAIT_ANSWER_TAKEN, d->service->policy.settings));
  else
    watch_rest(d);
}

void downstream_linger(struct downstream *d) {
  d->state = DOWNSTREAM_LINGER;
  buf_release(&d->in);
  conn_shutdown(&d->conn);
  go_on_lingering(d);
}

void ending_writable(struct downstream *d) { go_on_lingering(d); }

static void linger(struct downstream *d) {
  static _Thread_local char scratch[SCRATCH_BYTES];
  size_t moved = 0;
  enum io result = conn_read(&d->conn, scratch, sizeof scratch, &moved);
  if (result == IO_AGAIN) return;
  if (result == IO_EOF) d->half_closed = true;
  if (result == IO_ERROR || (result == IO_EOF && !conn_has_unsent(&d->conn)))
    downstream_close(d);
  else if (!conn_has_unsent(&d->conn))
    watch_rest(d);
  else
    conn_want_read(&d->conn, !d->half_closed);
}

static void drain(struct downstream *d) {
  switch (relay_pump(d->drain)) {
  case RELAY_READING: watch_rest(d); return;
  case RELAY_DONE:
    free(d->drain);
    d->drain = NULL;
    http1_await(d);
    return;
  case RELAY_WRITING:
  case RELAY_FILTERING:
  case RELAY_FILTER_FAILED:
  case RELAY_TRUNCATED:
  case RELAY_SOURCE_ERROR:
  case RELAY_MALFORMED:
  case RELAY_TOO_LARGE:
  case RELAY_UNSAFE:
  case RELAY_SINK_ERROR: downstream_linger(d); return;
  }
}

static void begin_drain(struct downstream *d, const struct exchange *x) {
  d->state = DOWNSTREAM_DRAIN;
  d->drain = memory_alloc(sizeof *d->drain);
  *d->drain = x->now.up; /* which was stopped, and owns nothing any more */
  /* The head has promised that the connection lives on: all is read, in the time that there is. */
  relay_read_away(d->drain, &(struct source){.conn = &d->conn, .in = &d->in});
  drain(d);
}

void http1_ended(struct downstream *d) {
  const struct exchange *x = d->stream.exchange;
  CHECK_OBJ(d, DOWNSTREAM_MAGIC);
  CHECK(x && d->state == DOWNSTREAM_BUSY);
  timer_clear(&d->stream.timer); /* reading stays as it is: what follows mostly reads */
  conn_want_write(&d->conn, false);
  if (x->sent.aborted && !x->tunnel) {
    ending_shows_cut(d);
    d->stream.exchange = NULL;
    downstream_close(d);
    return;
  }
  d->stream.exchange = NULL;
  if (x->sent.closes || x->tunnel)
    downstream_linger(d);
  else if (x->now.up.decoder.ended)
    http1_await(d);
  else
    begin_drain(d, x);
}

void ending_readable(struct downstream *d) {
  if (d->state == DOWNSTREAM_DRAIN)
    drain(d);
  else
    linger(d);
}

void ending_due(struct downstream *d) {
  if (d->state == DOWNSTREAM_DRAIN)
    downstream_linger(d);
  else
    downstream_close(d);
}

void ending_hasten(struct downstream *d) {
  if (!conn_has_unsent(&d->conn)) watch_rest(d);
}
