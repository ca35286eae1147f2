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
// Stop, a listener that goes, and the last of keepalive_requests: GOAWAY with the highest id and a PING; when that is
// answered, or after a moment, GOAWAY with the id of the last stream. What comes in between is served. The connection
// closes behind the last stream. Idle connections are ended by their keep-alive timeout.
//
// Its clock has several deadlines (enum http2_clock) and one timer: that of the downstream, which streams do not use.
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
  OUT_BYTES = 131072,
  WINDOW_MOST = 1 << 20,
  CONNECTION_FIRST = 1 << 17, /* grows up to the setting for whoever's bodies are used */
  HEADS_HELD = 4,             /* as many heads of the largest size may be there at a time */
  FILL_S = 10,                /* in which an empty budget fills again */
  REST_MS = 1000,
};

static void await(struct http2 *http2);

/* --- life ----------------------------------------------------------------------------------------------- */

static struct h2_allowance allowance(unsigned most) {
  return (struct h2_allowance){most, (most + FILL_S - 1) / FILL_S};
}

/* Where every request is answered by the policy itself, there is nobody to have a tunnel to. */
static bool may_tunnel(const struct service *service) { return !service->policy.hooks->asks_nobody; }

static struct h2_config config_of(const struct service *service) {
  const struct settings *settings = service->policy.settings;
  const struct http2_settings *h2 = &settings->http2;
  size_t widest = h2->stream_window > WINDOW_MOST ? h2->stream_window : WINDOW_MOST;
  return (struct h2_config){
      .is_server = true,
      .connect_protocol = may_tunnel(service),
      .streams = h2->streams,
      .stream_window = (uint32_t)h2->stream_window,
      .window_most = (uint32_t)(widest < h2->connection_window ? widest : h2->connection_window),
      .connection_window =
          (uint32_t)(h2->connection_window < CONNECTION_FIRST ? h2->connection_window : CONNECTION_FIRST),
      .connection_most = (uint32_t)h2->connection_window,
      .out_bytes = OUT_BYTES,
      .heads_bytes = HEADS_HELD * settings->head.head_bytes,
      .head = settings->head,
      .allowances = {allowance(h2->resets), allowance(h2->controls)}};
}

void http2_begin(struct downstream *d) {
  struct http2 *http2 = memory_zalloc(sizeof *http2);
  struct h2_config config = config_of(d->service);
  http2->downstream = d;
  http2->takes_tunnels = config.connect_protocol;
  http2->session = h2_session_new(&config, loop_now_ms(d->proxy->loop));
  list_init(&http2->streams);
  d->http2 = http2;
  d->state = DOWNSTREAM_HTTP2;
  await(http2);
  http2_take_first(http2);
}

bool http2_is_open(const struct http2 *http2) { return http2->downstream->state == DOWNSTREAM_HTTP2; }

void http2_free(struct downstream *d) {
  if (!d->http2) return;
  CHECK(list_is_empty(&d->http2->streams) && !d->http2->flushes);
  h2_session_free(d->http2->session);
  free(d->http2);
}

void http2_gone(struct downstream *d, enum error error) {
  struct list *streams = &d->http2->streams;
  if (d->head_held) downstream_hold_head(d, 0);
  while (!list_is_empty(streams))
    http2_stream_gone(LIST_ENTRY(streams->next, struct http2_stream, link), error);
}

bool http2_is_idle(const struct downstream *d) { return list_is_empty(&d->http2->streams); }

uint64_t http2_idle_ms(const struct downstream *d) {
  uint64_t now = loop_now_ms(d->proxy->loop), since = d->http2->idle_since_ms;
  return since && now > since ? now - since : 0;
}

/* --- its clock ------------------------------------------------------------------------------------------ */

/* The timer of the connection is that of its earliest deadline. */
static void watch(struct http2 *http2) {
  struct downstream *d = http2->downstream;
  uint64_t now = loop_now_ms(d->proxy->loop), first = UINT64_MAX;
  for (int i = 0; i < HTTP2_CLOCKS; i++)
    if (http2->due_ms[i] && http2->due_ms[i] < first) first = http2->due_ms[i];
  if (first == UINT64_MAX)
    timer_clear(&d->stream.timer);
  else
    timer_set(&d->stream.timer, first > now ? first - now : 0);
}

void http2_clock_set(struct http2 *http2, enum http2_clock clock, unsigned ms) {
  http2->due_ms[clock] = loop_now_ms(http2->downstream->proxy->loop) + ms;
  watch(http2);
}

void http2_clock_clear(struct http2 *http2, enum http2_clock clock) {
  if (!http2->due_ms[clock]) return;
  http2->due_ms[clock] = 0;
  watch(http2);
}

static void end(struct http2 *http2);

static void on_clock(struct http2 *http2, enum http2_clock clock) {
  struct downstream *d = http2->downstream;
  bool is_clients = clock == HTTP2_CLOCK_IDLE || clock == HTTP2_CLOCK_HEAD;
  if (is_clients && conn_is_ready(&d->conn)) { /* the loop has not told yet */
    http2_clock_set(http2, clock, 1);
    return;
  }
  if (clock == HTTP2_CLOCK_IDLE && http2->due_ms[HTTP2_CLOCK_HEAD]) { /* it asks, and has the time for that */
    http2->due_ms[HTTP2_CLOCK_IDLE] = http2->due_ms[HTTP2_CLOCK_HEAD] + 1;
    return;
  }
  switch (clock) {
  case HTTP2_CLOCK_IDLE:
  case HTTP2_CLOCK_LAST: end(http2); return;
  case HTTP2_CLOCK_HEAD:
    h2_session_blame(http2->session, H2_ENHANCE_YOUR_CALM, "a head took too long");
    http2_flush_later(http2);
    return;
  case HTTP2_CLOCK_CLOSE: downstream_close(d); return;
  case HTTP2_CLOCK_REST: h2_session_rest(http2->session); return;
  case HTTP2_CLOCKS: return;
  }
}

void http2_due(struct downstream *d) {
  struct http2 *http2 = d->http2;
  uint64_t now = loop_now_ms(d->proxy->loop);
  for (int i = 0; i < HTTP2_CLOCKS && http2_is_open(http2); i++) {
    if (!http2->due_ms[i] || http2->due_ms[i] > now) continue;
    http2->due_ms[i] = 0;
    on_clock(http2, (enum http2_clock)i);
  }
  if (http2_is_open(http2)) watch(http2);
}

/* --- faults --------------------------------------------------------------------------------------------- */

static void report(struct http2 *http2) {
  struct downstream *d = http2->downstream;
  const char *why = NULL;
  bool by_peer = false;
  uint32_t code = h2_session_fault(http2->session, &why, &by_peer);
  if (code == H2_NO_ERROR) return;
  bool is_over_budget = code == H2_ENHANCE_YOUR_CALM && !by_peer;
  if (!by_peer) cell_add(&d->service->traffic->http2_faults[code < H2_CODES ? code : H2_NO_ERROR], 1);
  log_about(is_over_budget ? LOG_WARN : LOG_INFO, str_of(h2_code_name(code)),
            "client %.*s: HTTP/2 connection ended with %s%s%s%s", STR_ARG(downstream_client(d)),
            h2_code_name(code), by_peer ? " by the client" : "", why ? ": " : "", why ? why : "");
}

/* A client that has said GOAWAY, and has nothing more to come, hears one of ours (section 6.8). */
static void answer_farewell(struct http2 *http2) {
  const char *why;
  bool by_peer;
  if (http2->ended || h2_session_fault(http2->session, &why, &by_peer) != H2_NO_ERROR) return;
  h2_session_end(http2->session, H2_NO_ERROR);
  h2_session_send(http2->session);
}

/* Our last words are written; the client may still read them, and need not hurry: what it cost is freed now. */
void http2_finish(struct http2 *http2) {
  struct downstream *d = http2->downstream;
  http2_gone(d, ERROR_CLIENT_GONE);
  if (!http2_is_open(http2)) return;
  answer_farewell(http2);
  http2_write(http2);
  downstream_linger(d);
  http2_flush_later(http2);
}

void http2_fail(struct http2 *http2) {
  report(http2);
  http2_finish(http2);
}

/* --- the end of it -------------------------------------------------------------------------------------- */

/* Our last words, and what is left of answers, have the time that an answer has. */
static void end_when_written(struct http2 *http2) {
  http2_clock_set(http2, HTTP2_CLOCK_CLOSE,
                  wait_ms(WAIT_ANSWER_TAKEN, http2->downstream->service->policy.settings));
  http2_flush_later(http2);
}

static void end(struct http2 *http2) {
  if (http2->ended) return;
  h2_session_end(http2->session, H2_NO_ERROR);
  http2->announced = http2->ended = true;
  http2->due_ms[HTTP2_CLOCK_IDLE] = http2->due_ms[HTTP2_CLOCK_LAST] = http2->due_ms[HTTP2_CLOCK_REST] = 0;
  if (list_is_empty(&http2->streams))
    end_when_written(http2);
  else
    http2_flush_later(http2);
}

/* Once; who is in more of a hurry than the one before has his way. */
static void announce(struct http2 *http2, unsigned patience_ms) {
  uint64_t *due = &http2->due_ms[HTTP2_CLOCK_LAST], now = loop_now_ms(http2->downstream->proxy->loop);
  if (http2->announced) {
    if (*due > now + patience_ms) http2_clock_set(http2, HTTP2_CLOCK_LAST, patience_ms);
    return;
  }
  http2->announced = true;
  http2->due_ms[HTTP2_CLOCK_IDLE] = http2->due_ms[HTTP2_CLOCK_REST] = 0;
  h2_session_announce_end(http2->session);
  h2_session_ping(http2->session);
  http2_clock_set(http2, HTTP2_CLOCK_LAST, patience_ms ? patience_ms : LAST_REQUEST_MS);
  http2_flush_later(http2);
}

void http2_announce_last(struct http2 *http2) {
  if (http2_is_open(http2)) announce(http2, LAST_REQUEST_MS);
}

void http2_stop(struct downstream *d, unsigned patience_ms) {
  struct http2 *http2 = d->http2;
  LIST_EACH(node, &http2->streams)
  exchange_hasten(LIST_ENTRY(node, struct http2_stream, link)->stream.exchange);
  if (http2_is_open(http2)) announce(http2, patience_ms);
}

void http2_give_up(struct downstream *d) {
  h2_session_end(d->http2->session, H2_NO_ERROR);
  h2_session_send(d->http2->session);
  http2_write(d->http2);
  downstream_close(d);
}

/* Harmless for whoever is inside the connection: it ends at the end of the turn. */
void http2_give_up_head(struct downstream *d) {
  h2_session_blame(d->http2->session, H2_ENHANCE_YOUR_CALM,
                   "too much memory is held by heads that are not whole");
  downstream_hold_head(d, 0);
  http2_flush_later(d->http2);
}

/* The client has read the announcement: what it had asked before is here. */
void http2_heard(struct http2 *http2) {
  if (http2->announced && !http2->ended && h2_session_pongs(http2->session)) end(http2);
}

static void await(struct http2 *http2) {
  struct downstream *d = http2->downstream;
  http2->idle_since_ms = loop_now_ms(d->proxy->loop);
  http2->due_ms[HTTP2_CLOCK_REST] = http2->idle_since_ms + REST_MS;
  http2_clock_set(http2, HTTP2_CLOCK_IDLE, downstream_idle_ms(d, d->requests ? WAIT_NEXT : WAIT_FIRST));
  room_freed(d->proxy);
}

void http2_stream_left(struct http2 *http2) {
  if (!http2_is_open(http2)) return;
  http2_flush_later(http2);
  if (!list_is_empty(&http2->streams)) return;
  if (http2->ended)
    end_when_written(http2);
  else if (!http2->announced)
    await(http2);
}

void http2_stream_comes(struct http2 *http2, struct h2_stream *h2) {
  struct downstream *d = http2->downstream;
  const struct settings *settings = d->service->policy.settings;
  if (http2->idle_since_ms) {
    http2->idle_since_ms = http2->due_ms[HTTP2_CLOCK_IDLE] = http2->due_ms[HTTP2_CLOCK_REST] = 0;
    watch(http2);
  }
  if (d->requests++ == 0) d->proxy->fresh_count--;
  bool is_last = settings->keepalive_requests && d->requests >= settings->keepalive_requests;
  bool is_late = d->proxy->stopping || d->service->closing; /* and has not been told before it spoke HTTP/2 */
  http2_stream_begin(http2, h2);
  if (is_last || is_late) http2_announce_last(http2);
}
