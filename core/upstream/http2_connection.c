// SPDX-License-Identifier: Apache-2.0
// http2_connection: a connection to a peer that speaks HTTP/2, as http/h2_session understands it. It carries the calls
// of many exchanges, which must not disturb each other.
//
// What goes out is made into frames at once, in the session's buffer, and written at the end of the loop's turn, all
// that was made in it in one call. While the peer takes nothing, what it sends is read all the same: otherwise two
// proxies that wait for each other would wait for ever. What that can cost is bounded: responses by the windows of
// their streams, answers to frames by the session.
//
// How it ends:
//   the peer's GOAWAY, or all ids used  -> no new calls; it closes behind the last one
//   idle for too long, or not wanted    -> GOAWAY, and it closes
//   lost: the peer closes, breaks the protocol, is silent -> what has come of responses is still read by their
//                                          exchanges; all calls that are not whole fail
// A call fails by being told at the end of the turn: so the one that notices the end is never inside another exchange.
//
// Silence is no end, and a connection whose other end has gone without a word looks the same. So a peer that has said
// nothing for ping_interval, while calls are under way, is sent a PING, and must say something within ping_timeout. As
// long as it stays silent the next PING is PINGS_APART later: servers of gRPC end connections that ask more often.
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/container.h"
#include "base/log.h"
#include "base/memory.h"
#include "exchange/exchange.h"
#include "exchange/peer.h"
#include "exchange/proxy.h"
#include "upstream/http2.h"
#include "upstream/upstream.h"

enum {
  WINDOW = 32768,
  WINDOW_MOST = 4 << 20,
  /* Of all streams, so that the window of the connection never stops one because of another. */
  HELD_BYTES = HTTP2_STREAMS_MOST * WINDOW + HTTP2_SPARE,
  OUT_BYTES = 65536,
  READ_BYTES = 65536,
  READS = 4, /* of one event: others shall have their turn */
  PINGS_APART_MS = 300 * 1000,
  PONG_BYTES = 17, /* RFC 9113 section 6.7 */
};

static void on_readable(struct conn *conn);
static void on_writable(struct conn *conn);

static const struct conn_events events = {on_readable, on_writable};

/* --- life ----------------------------------------------------------------------------------------------- */

struct http2_connection *http2_connection_new(struct upstream *u) {
  struct http2_connection *h = memory_zalloc(sizeof *h);
  h->upstream = u;
  list_init(&h->link);
  list_init(&h->calls);
  list_init(&h->fed);
  return h;
}

void http2_connection_free(struct http2_connection *h) {
  CHECK(list_is_empty(&h->calls) && list_is_empty(&h->link) && !h->flushes);
  if (h->session) h2_session_free(h->session);
  arena_free(&h->texts);
  free(h);
}

bool http2_connection_is_open(const struct http2_connection *h) {
  return h->upstream->state == UPSTREAM_HTTP2;
}

static struct h2_config config_of(struct http2_connection *h) {
  return (struct h2_config){.streams = HTTP2_STREAMS_FIRST,
                            .stream_window = WINDOW,
                            .window_most = WINDOW_MOST,
                            .spare = &h->upstream->proxy->window_spare,
                            .held_bytes = HELD_BYTES,
                            .out_bytes = OUT_BYTES,
                            .head = h->head,
                            .allowances = {H2_RESETS_DEFAULT, H2_CONTROLS_DEFAULT}};
}

void http2_connection_begin(struct http2_connection *h) {
  struct upstream *u = h->upstream;
  struct h2_config config = config_of(h);
  free(u->connect);
  u->connect = NULL;
  arena_free(&h->texts);
  h->heard_ms = loop_now_ms(u->proxy->loop);
  h->session = h2_session_new(&config, h->heard_ms);
  u->state = UPSTREAM_HTTP2;
  timer_set(&u->call.timer, u->peer->options.handshake_timeout_ms); /* for the peer's SETTINGS */
  conn_adopt(&u->conn, &events, u);
  conn_want_read(&u->conn, true);
  http2_connection_flush_later(h);
}

unsigned http2_connection_room(const struct http2_connection *h) {
  if (!http2_connection_is_open(h)) return 0;
  unsigned room = h2_session_room(h->session), count = h2_session_streams(h->session);
  unsigned most = count < HTTP2_STREAMS_MOST ? HTTP2_STREAMS_MOST - count : 0;
  if (room > most) room = most;
  return room > h->unsent ? room - h->unsent : 0;
}

/* --- the end of it -------------------------------------------------------------------------------------- */

/* IO_OK: all of it. */
static enum io write_out(struct http2_connection *h) {
  struct buf *out = h2_session_out(h->session);
  size_t before = buf_len(out);
  enum io result = conn_write_all(&h->upstream->conn, out);
  h->written += before - buf_len(out);
  if (!buf_len(out)) h2_session_emptied(h->session, before);
  return result;
}

/* Our last words, if the peer takes them at once. */
static void say_last_words(struct http2_connection *h) {
  h2_session_send(h->session);
  if (!h->is_mute) write_out(h);
}

void http2_connection_end(struct http2_connection *h) {
  CHECK(http2_connection_is_idle(h));
  if (http2_connection_is_open(h)) {
    h2_session_end(h->session, H2_NO_ERROR);
    say_last_words(h);
  }
  upstream_close(h->upstream);
}

/* Calls fail with `error`; those that wait for this connection, to which nothing was sent, because it is none. */
static void lose(struct http2_connection *h, enum error error, const char *why) {
  struct upstream *u = h->upstream;
  bool was_opening = h->is_opening;
  h->error = error;
  snprintf(h->why, sizeof h->why, "%s", why ? why : "");
  LIST_EACH(node, &h->calls) http2_call_lost(LIST_ENTRY(node, struct http2_call, link));
  if (!list_is_empty(&h->calls)) http2_connection_flush_later(h);
  bool is_none = was_opening && error != ERROR_LOCAL_SHORTAGE;
  http2_peer_give_up(u, is_none ? ERROR_CONNECT_FAILED : error, h->why);
}

static void log_fault(const struct http2_connection *h, uint32_t code, const char *why) {
  struct str address = h->upstream->peer->options.address;
  char subject[128];
  snprintf(subject, sizeof subject, "HTTP/2 %.*s", STR_ARG(address));
  log_about(LOG_WARN, str_of(subject), "peer %.*s: HTTP/2 connection ended with %s%s%s", STR_ARG(address),
            h2_code_name(code), why ? ": " : "", why ? why : "");
}

/* The peer has broken the protocol. What never was HTTP/2 is a wrong policy more likely than a wrong peer. */
static void fail(struct http2_connection *h) {
  const char *why = NULL;
  bool by_peer;
  uint32_t code = h2_session_fault(h->session, &why, &by_peer);
  if (h->is_opening) why = "it does not answer with HTTP/2";
  log_fault(h, code, why);
  say_last_words(h);
  lose(h, ERROR_BAD_RESPONSE, why ? why : h2_code_name(code));
}

/* It has closed. A GOAWAY may have said why. */
static void closed(struct http2_connection *h, const char *why) {
  const char *said = NULL;
  bool by_peer;
  uint32_t code = h2_session_fault(h->session, &said, &by_peer);
  if (code != H2_NO_ERROR) log_fault(h, code, said);
  bool is_ours = why && conn_is_short(&h->upstream->conn);
  lose(h, is_ours ? ERROR_LOCAL_SHORTAGE : ERROR_UPSTREAM_CLOSED,
       code != H2_NO_ERROR ? h2_code_name(code) : why);
}

/* --- time ----------------------------------------------------------------------------------------------- */

/* When the peer is asked, if it stays silent. */
static uint64_t ask_at_ms(const struct http2_connection *h) {
  const struct peer_options *o = &h->upstream->peer->options;
  uint64_t first = h->heard_ms + o->ping_interval_ms;
  if (h->asked_ms < h->heard_ms) return first;
  unsigned apart_ms = o->ping_interval_ms > PINGS_APART_MS ? o->ping_interval_ms : PINGS_APART_MS;
  return h->asked_ms + apart_ms;
}

static void schedule(struct http2_connection *h) {
  struct upstream *u = h->upstream;
  const struct peer_options *o = &u->peer->options;
  uint64_t now_ms = loop_now_ms(u->proxy->loop), ask_ms = ask_at_ms(h);
  if (h->is_opening) return; /* the timer is that of the peer's SETTINGS */
  if (http2_connection_is_idle(h))
    timer_set(&u->call.timer, o->idle_timeout_ms == PEER_NO_POOL ? 0 : o->idle_timeout_ms);
  else
    timer_set(&u->call.timer, ask_ms > now_ms ? ask_ms - now_ms : 0);
}

static void ask(struct http2_connection *h) {
  struct upstream *u = h->upstream;
  h2_session_ping(h->session);
  h->asked_ms = loop_now_ms(u->proxy->loop);
  h->awaits_pong = true;
  timer_set(&u->call.timer, u->peer->options.ping_timeout_ms);
  http2_connection_flush_later(h);
}

void http2_connection_due(struct http2_connection *h) {
  uint64_t now_ms = loop_now_ms(h->upstream->proxy->loop);
  if (h->is_opening)
    lose(h, ERROR_UPSTREAM_CLOSED, "it has not said in time how many requests it takes over HTTP/2");
  else if (http2_connection_is_idle(h))
    http2_connection_end(h);
  else if (h->awaits_pong)
    lose(h, ERROR_UPSTREAM_CLOSED, "it does not answer a PING");
  else if (now_ms >= ask_at_ms(h))
    ask(h);
  else
    schedule(h);
}

/* --- in ------------------------------------------------------------------------------------------------- */

/* The memory of the exchange that is told next has left the processor's caches since it asked. It is fetched while this
 * one is told. */
static void prefetch_next(const struct http2_connection *h) {
  const struct h2_stream *h2 = h2_session_peek(h->session);
  const struct http2_call *c = h2 ? h2->owner : NULL;
  if (c) exchange_prefetch(c->call.exchange);
}

static void read_news(struct http2_connection *h) {
  struct h2_stream *h2;
  unsigned news;
  while ((h2 = h2_session_next(h->session, &news))) {
    prefetch_next(h);
    if (h2->owner) http2_call_tell(h2->owner, news);
  }
}

static void note_settings(struct http2_connection *h) {
  bool is_settled;
  uint32_t streams = h2_session_limit(h->session, &is_settled);
  if (!is_settled || !streams) return; /* who takes none may change its mind */
  http2_peer_settled(h, streams);
  schedule(h);
}

/* Of the streams that it takes no more, later attempts are to know. */
static void note_goaway(struct http2_connection *h, uint64_t now_ms) {
  const char *why;
  bool by_peer;
  if (h2_session_fault(h->session, &why, &by_peer) == H2_HTTP_1_1_REQUIRED && by_peer)
    http2_peer_required_http1(h->upstream->peer, now_ms);
}

/* An answer to a PING alone is a sign of life, and no end of the silence. */
static bool receive(struct http2_connection *h, const char *bytes, size_t count) {
  uint64_t now_ms = loop_now_ms(h->upstream->proxy->loop);
  unsigned pongs = h2_session_pongs(h->session);
  bool is_fine = h2_session_receive(h->session, bytes, count, now_ms);
  h->awaits_pong = false;
  if (count > PONG_BYTES || h2_session_pongs(h->session) == pongs) h->heard_ms = now_ms;
  note_goaway(h, now_ms);
  if (h->is_opening) note_settings(h);
  read_news(h);
  if (!is_fine && http2_connection_is_open(h)) fail(h);
  return is_fine && http2_connection_is_open(h);
}

static void on_readable(struct conn *conn) {
  static _Thread_local char bytes[READ_BYTES];
  struct upstream *u = conn->owner;
  struct http2_connection *h = u->http2;
  CHECK_OBJ(u, UPSTREAM_MAGIC);
  for (int i = 0; i < READS; i++) {
    size_t moved = 0;
    enum io result = conn_read(conn, bytes, sizeof bytes, &moved);
    if (result == IO_AGAIN) break;
    if (result != IO_OK) {
      closed(h, result == IO_ERROR ? conn_error(conn) : NULL);
      return;
    }
    if (!receive(h, bytes, moved)) return;
    if (moved < sizeof bytes && conn_is_plain(conn)) break; /* if there is more, the loop tells */
    if (i == READS - 1) conn_feed(conn);
  }
  http2_connection_flush_later(h);
}

/* --- out ------------------------------------------------------------------------------------------------ */

static void on_writable(struct conn *conn) {
  struct upstream *u = conn->owner;
  CHECK_OBJ(u, UPSTREAM_MAGIC);
  http2_connection_flush_later(u->http2);
}

/* What has come may still be read, and says more than that nothing can be written. */
static void go_mute(struct http2_connection *h) {
  struct buf *out = h2_session_out(h->session);
  h->is_mute = true;
  buf_clear(out);
  conn_want_write(&h->upstream->conn, false);
  conn_feed(&h->upstream->conn);
}

/* Room in the buffer is news for streams, which fill it again. */
static void flush(struct http2_connection *h) {
  struct buf *out = h2_session_out(h->session);
  enum io result = IO_OK;
  bool is_fine;
  do {
    is_fine = h2_session_send(h->session);
    if (h->is_mute) buf_clear(out);
    if (!buf_len(out)) break;
    result = write_out(h);
    if (result == IO_OK) read_news(h);
  } while (is_fine && result == IO_OK && http2_connection_is_open(h));
  if (!http2_connection_is_open(h)) return;
  if (!is_fine)
    fail(h);
  else if (result == IO_ERROR)
    go_mute(h);
  else
    conn_want_write(&h->upstream->conn, result == IO_AGAIN);
}

static bool is_wanted(const struct http2_connection *h) {
  const struct upstream *u = h->upstream;
  bool is_kept = !u->proxy->stopping && u->peer->options.idle_timeout_ms != PEER_NO_POOL;
  return !http2_connection_is_idle(h) || h->is_opening || (is_kept && !h2_session_is_leaving(h->session));
}

static void tell_fed(struct http2_connection *h) {
  while (!list_is_empty(&h->fed)) {
    struct http2_call *c = LIST_ENTRY(h->fed.next, struct http2_call, fed_link);
    list_remove(&c->fed_link);
    http2_call_tell(c, H2_NEWS_DATA | (c->is_over ? H2_NEWS_RESET : 0));
  }
}

static void on_end_of_turn(struct reaped *reaped) {
  struct http2_connection *h = CONTAINER_OF(reaped, struct http2_connection, at_end);
  struct upstream *u = h->upstream;
  h->flushes = false;
  h->at_end.free = NULL;
  tell_fed(h);
  if (!http2_connection_is_open(h)) return;
  flush(h);
  if (!http2_connection_is_open(h)) return;
  if (!list_is_empty(&u->peer->http2->waiting)) http2_peer_serve(u->proxy, u->peer);
  if (!is_wanted(h)) http2_connection_end(h);
}

void http2_connection_flush_later(struct http2_connection *h) {
  if (h->flushes) return;
  h->flushes = true;
  reaper_add(&h->upstream->proxy->reaper, &h->at_end, on_end_of_turn);
}

/* --- calls ---------------------------------------------------------------------------------------------- */

void http2_connection_enter(struct http2_connection *h, struct http2_call *c) {
  bool is_first = http2_connection_is_idle(h);
  list_push_back(&h->calls, &c->link);
  h->served++;
  h->unsent++;
  if (is_first) schedule(h);
}

void http2_connection_left(struct http2_connection *h) {
  if (h->upstream->state == UPSTREAM_CLOSED) {
    if (http2_connection_is_idle(h)) upstream_reap(h->upstream);
    return;
  }
  http2_connection_flush_later(h);
  if (!http2_connection_is_idle(h)) return;
  schedule(h);
  room_freed(h->upstream->proxy);
}
