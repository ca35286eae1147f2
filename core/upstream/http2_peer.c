// SPDX-License-Identifier: Apache-2.0
// http2_peer: which connection takes a call. One with room is taken before another is opened; while one is opening,
// calls wait for it, as many as the peer is known to take at once, rather than open one each. Whatever becomes of it,
// what waits is given out, waits for another, or fails: there is never a waiting call without an opening connection.
//
// A peer that has the choice (alpn = "h2,http/1.1") may be wanted over HTTP/1.1 all the same: for an Upgrade that its
// HTTP/2 does not take, or because it has said HTTP_1_1_REQUIRED. Then the attempt goes on with another peer, which
// differs in nothing but that it offers HTTP/1.1 alone: so it shares that one's connections, and none of these.
//
// The hard problem is a peer that chooses its protocol. Calls wait for a connection that turns out to speak HTTP/1.1:
// then one of them gets it, and the others connect themselves, as do all later calls, until a handshake says otherwise.
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/ticks.h"
#include "exchange/exchange.h"
#include "exchange/peer.h"
#include "exchange/proxy.h"
#include "exchange/settings.h"
#include "net/connect.h"
#include "net/tls.h"
#include "shared/metrics.h"
#include "shared/peer_figures.h"
#include "upstream/http2.h"
#include "upstream/pool.h"
#include "upstream/upstream.h"

static void wait(struct exchange *x, struct http2_call *c);

struct http2_peer *http2_peer_new(struct str address) {
  struct http2_peer *p = memory_zalloc(sizeof *p);
  p->figures = peer_figures_of(address);
  list_init(&p->connections);
  list_init(&p->waiting);
  return p;
}

/* By how much it has changed. */
static void show(struct http2_peer *p, unsigned connections, unsigned streams) {
  struct peer_figures *f = p->figures;
  if (!f) return;
  atomic_fetch_add(&f->connections, (int64_t)connections - p->shown_connections);
  atomic_fetch_add(&f->streams, (int64_t)streams - p->shown_streams);
  atomic_fetch_add(&f->resets, p->resets);
  p->shown_connections = connections;
  p->shown_streams = streams;
  p->resets = 0;
}

void http2_peer_free(struct http2_peer *p) {
  if (!p) return;
  CHECK(list_is_empty(&p->connections) && list_is_empty(&p->waiting) && !p->opening);
  show(p, 0, 0);
  free(p);
}

static bool needs_offer(const struct exchange *x) {
  return http2_tunnel_of(&x->request) == HTTP2_TUNNEL_EXTENDED;
}

/* For an exchange; one that takes what it asks for, if there is one. Whether one takes it, its SETTINGS say. */
static struct http2_connection *with_room(const struct http2_peer *p, const struct exchange *x) {
  bool is_particular = needs_offer(x);
  struct http2_connection *other = NULL;
  LIST_EACH(node, &p->connections) {
    struct http2_connection *h = LIST_ENTRY(node, struct http2_connection, link);
    if (!http2_connection_room(h) || (is_particular && h->is_opening)) continue;
    if (!is_particular || h2_session_takes_connect(h->session)) return h;
    other = h;
  }
  return other;
}

static struct http2_call *first_waiting(const struct http2_peer *p) {
  return LIST_ENTRY(p->waiting.next, struct http2_call, link);
}

static struct exchange *exchange_of_first(const struct http2_peer *p) {
  return first_waiting(p)->call.exchange;
}

/* --- HTTP/1.1 instead ---------------------------------------------------------------------------------------- */

bool http2_peer_has_choice(const struct peer *peer) {
  return peer->options.tls && peer->options.alpn == PEER_ALPN_BOTH;
}

void http2_peer_required_http1(struct peer *peer, uint64_t now_ms) {
  if (!http2_peer_has_choice(peer)) return;
  if (peer->http2->http1_until_ms <= now_ms)
    log_about(LOG_INFO, peer->options.address, "peer %.*s: it wants HTTP/1.1 (HTTP_1_1_REQUIRED), for %u s",
              STR_ARG(peer->options.address), HTTP2_REQUIRED_MS / 1000);
  peer->http2->http1_until_ms = now_ms + HTTP2_REQUIRED_MS;
}

/* Those who have said what they take leave it out. One that is opening may say otherwise. */
static bool offers_no_tunnel(const struct http2_peer *p) {
  bool is_known = false;
  LIST_EACH(node, &p->connections) {
    const struct http2_connection *h = LIST_ENTRY(node, struct http2_connection, link);
    if (h->is_opening || !http2_connection_is_open(h)) continue;
    if (h2_session_takes_connect(h->session)) return false;
    is_known = true;
  }
  return is_known;
}

static bool is_better_http1(const struct http2_peer *p, const struct exchange *x) {
  if (p->http1_until_ms > loop_now_ms(x->proxy->loop)) return true;
  switch (http2_tunnel_of(&x->request)) {
  case HTTP2_TUNNEL_UNSAID: return true;
  case HTTP2_TUNNEL_EXTENDED: return offers_no_tunnel(p);
  case HTTP2_TUNNEL_NONE:
  case HTTP2_TUNNEL_CONNECT: break;
  }
  return false;
}

/* The attempt has another peer then, and its former one may be gone. */
static bool goes_over_http1(struct exchange *x) {
  struct peer *peer = x->now.peer;
  const char *why;
  if (!http2_peer_has_choice(peer) || !is_better_http1(peer->http2, x)) return false;
  struct peer_options options = peer->options;
  options.alpn = PEER_ALPN_HTTP1;
  struct peer *other = peer_intern(x->proxy, &options, &why);
  if (!other) {
    log_about(LOG_WARN, options.address, "peer %.*s: not over HTTP/1.1: %s", STR_ARG(options.address), why);
    return false;
  }
  x->now.peer = other;
  peer_release(x->proxy, peer);
  return true;
}

/* --- opening ---------------------------------------------------------------------------------------------- */

static void add_connection(struct upstream *u, const struct exchange *x) {
  struct http2_peer *p = u->peer->http2;
  u->http2 = http2_connection_new(u);
  u->http2->head = x->settings->head;
  u->http2->is_opening = true;
  p->opening++;
  list_push_back(&p->connections, &u->http2->link);
}

static void open_one(struct proxy *proxy, struct peer *peer) {
  struct upstream *u = upstream_new(proxy, peer);
  upstream_enter(u, UPSTREAM_CONNECTING);
  add_connection(u, exchange_of_first(peer->http2));
  cell_add(&proxy->tally->upstream_opened, 1);
  u->http2->began = ticks_now();
  if (room_for_upstream(proxy))
    upstream_connect(u, &u->http2->texts, (struct str){0});
  else
    upstream_waits_for_room(u, ERROR_LOCAL_SHORTAGE);
}

/* How many calls will be taken: by those that are opening, and at the end of this turn by those that have room. */
static unsigned expected(const struct http2_peer *p) {
  unsigned calls = p->opening * (p->streams ? p->streams : HTTP2_STREAMS_MOST);
  LIST_EACH(node, &p->connections) {
    const struct http2_connection *h = LIST_ENTRY(node, struct http2_connection, link);
    if (!h->is_opening) calls += http2_connection_room(h);
  }
  return calls;
}

static void open_missing(struct proxy *proxy, struct peer *peer) {
  while (peer->http2->waiting_count > expected(peer->http2)) open_one(proxy, peer);
}

/* A connection that was opening is none any more. What waits for nothing now fails; calls that come in meanwhile, by
 * retries, have others. */
static void fail_waiting(struct peer *peer, enum error error, const char *why) {
  struct http2_peer *p = peer->http2;
  unsigned most = expected(p), count = p->waiting_count > most ? p->waiting_count - most : 0;
  while (count-- && !list_is_empty(&p->waiting)) {
    struct http2_call *c = first_waiting(p);
    http2_call_detach(c);
    exchange_fail_because(c->call.exchange, error, *why ? why : NULL);
  }
}

void http2_peer_give_up(struct upstream *u, enum error error, const char *why) {
  struct proxy *proxy = u->proxy;
  struct peer *peer = u->peer;
  peer_hold(peer);
  upstream_close(u);
  fail_waiting(peer, error, why);
  http2_peer_serve(proxy, peer);
  peer_release(proxy, peer);
}

void http2_peer_look_for_room(struct upstream *u) {
  if (room_for_upstream(u->proxy))
    upstream_connect(u, &u->http2->texts, (struct str){0});
  else if (!upstream_waits_for_room(u, ERROR_LOCAL_SHORTAGE))
    http2_peer_give_up(u, ERROR_LOCAL_SHORTAGE, "");
}

/* --- connected ---------------------------------------------------------------------------------------------- */

/* They connect anew, by call_open. */
static void send_away(struct http2_peer *p) {
  for (unsigned count = p->waiting_count; count && !list_is_empty(&p->waiting); count--) {
    struct http2_call *c = first_waiting(p);
    struct exchange *x = c->call.exchange;
    http2_call_detach(c);
    x->now.call = NULL;
    exchange_run(x);
  }
}

/* Whoever waited for longest gets it. */
static void go_on_as_http1(struct upstream *u) {
  struct http2_peer *p = u->peer->http2;
  struct peer *peer = u->peer;
  struct proxy *proxy = u->proxy;
  http2_peer_leave(u->http2);
  http2_connection_free(u->http2);
  u->http2 = NULL;
  p->chooses_http1 = true;
  upstream_begin_http1(u);
  peer_hold(peer);
  if (!list_is_empty(&p->waiting)) {
    struct exchange *x = first_waiting(p)->call.exchange;
    http2_call_detach(first_waiting(p));
    x->now.call = &u->call;
    u->call.exchange = x;
    exchange_run(x);
  } else if (!proxy->stopping && peer->options.idle_timeout_ms != PEER_NO_POOL) {
    pool_put(u);
  } else {
    upstream_close(u);
  }
  send_away(p);
  peer_release(proxy, peer);
}

void http2_peer_connected(struct upstream *u, enum error error) {
  struct http2_connection *h = u->http2;
  if (error != ERROR_NONE) {
    char why[sizeof h->why];
    memcpy(why, u->connect->why, sizeof why);
    http2_peer_give_up(u, error, why);
    return;
  }
  histogram_add(&u->proxy->tally->connect, ticks_to_us(ticks_since(h->began)));
  if (u->conn.tls && !tls_chose_http2(&u->conn)) {
    go_on_as_http1(u);
    return;
  }
  u->peer->http2->chooses_http1 = false;
  http2_connection_begin(h);
}

void http2_peer_adopt(struct upstream *u) {
  struct exchange *x = u->call.exchange;
  u->call.exchange = NULL;
  add_connection(u, x);
  u->peer->http2->chooses_http1 = false;
  http2_connection_begin(u->http2);
  struct http2_call *c = http2_call_new(x);
  if (needs_offer(x)) { /* which its SETTINGS bring, or do not */
    wait(x, c);
    return;
  }
  http2_call_ready(c, u->http2);
  exchange_run(x);
}

void http2_peer_settled(struct http2_connection *h, unsigned streams) {
  struct http2_peer *p = h->upstream->peer->http2;
  p->streams = streams < HTTP2_STREAMS_MOST ? streams : HTTP2_STREAMS_MOST;
  CHECK(h->is_opening && p->opening > 0);
  h->is_opening = false;
  p->opening--;
}

void http2_peer_leave(struct http2_connection *h) {
  if (list_is_empty(&h->link)) return;
  struct http2_peer *p = h->upstream->peer->http2;
  list_remove(&h->link);
  if (!h->is_opening) return;
  h->is_opening = false;
  CHECK(p->opening > 0);
  p->opening--;
}

/* --- calls -------------------------------------------------------------------------------------------------- */

static void wait(struct exchange *x, struct http2_call *c) {
  const struct peer_options *o = &x->now.peer->options;
  struct http2_peer *p = x->now.peer->http2;
  x->now.reused = false;
  list_push_back(&p->waiting, &c->link);
  p->waiting_count++;
  timer_set(&c->call.timer, (uint64_t)o->connect_timeout_ms + o->handshake_timeout_ms);
  open_missing(x->proxy, x->now.peer);
}

bool http2_peer_open(struct exchange *x) {
  struct http2_peer *p = x->now.peer->http2;
  if (goes_over_http1(x)) return false;
  bool is_first = list_is_empty(&p->waiting);
  struct http2_connection *h = is_first ? with_room(p, x) : NULL;
  if (!h && p->chooses_http1) return false;
  struct http2_call *c = http2_call_new(x);
  if (h)
    http2_call_ready(c, h);
  else
    wait(x, c);
  return true;
}

enum wait http2_peer_awaits(const struct http2_peer *p) {
  LIST_EACH(node, &p->connections) {
    const struct http2_connection *h = LIST_ENTRY(node, struct http2_connection, link);
    if (h->upstream->state == UPSTREAM_CONNECTING) return upstream_awaits(h->upstream);
  }
  return WAIT_CONNECTION;
}

void http2_peer_serve(struct proxy *proxy, struct peer *peer) {
  struct http2_peer *p = peer->http2;
  struct http2_connection *h;
  if (p->is_serving) return;
  p->is_serving = true;
  peer_hold(peer);
  while (!list_is_empty(&p->waiting) && (h = with_room(p, exchange_of_first(p)))) {
    struct http2_call *c = first_waiting(p);
    struct exchange *x = c->call.exchange;
    http2_call_detach(c);
    if (goes_over_http1(x))
      x->now.call = NULL; /* and it connects anew */
    else
      http2_call_ready(c, h);
    exchange_run(x);
  }
  p->is_serving = false;
  open_missing(proxy, peer);
  peer_release(proxy, peer);
}

bool http2_peer_close_idle(struct http2_peer *p) {
  LIST_EACH(node, &p->connections) {
    struct http2_connection *h = LIST_ENTRY(node, struct http2_connection, link);
    bool is_free = http2_connection_is_idle(h) && (!h->is_opening || list_is_empty(&p->waiting));
    if (!is_free) continue;
    http2_connection_end(h);
    return true;
  }
  return false;
}

void http2_peer_count(struct http2_peer *p, struct http2_counts *counts) {
  struct http2_counts own = {0};
  LIST_EACH(node, &p->connections) {
    const struct http2_connection *h = LIST_ENTRY(node, struct http2_connection, link);
    if (!http2_connection_is_open(h)) continue;
    own.connections++;
    own.idle += http2_connection_is_idle(h);
    LIST_EACH(call, &h->calls) own.calls++;
  }
  counts->connections += own.connections;
  counts->idle += own.idle;
  counts->calls += own.calls;
  show(p, own.connections, own.calls);
}
