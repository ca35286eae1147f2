// SPDX-License-Identifier: Apache-2.0
// pool: the idle connections to a peer, newest first. The hard problem is the race between a peer that closes an idle
// connection and a request that takes it: idle connections are watched and leave the pool when anything arrives; what
// slips through is for the exchange's retry.
#include "upstream/pool.h"

#include "base/check.h"
#include "exchange/peer.h"
#include "exchange/proxy.h"
#include "shared/idle_counts.h"
#include "upstream/http2.h"
#include "upstream/upstream.h"

/* Idle connections of all peers of a worker, and for how long one stays that is too many. */
enum { IDLE_MOST = 1024, SURPLUS_MS = 1000 };

static void count_idle(struct upstream *u, int more) {
  struct peer *peer = u->peer;
  peer->idle_count += (unsigned)more;
  u->proxy->idle_count += (unsigned)more;
  if (peer->idle_counts) idle_counts_state(peer->idle_counts, u->proxy->worker, peer->idle_count);
}

void pool_leave(struct upstream *u) {
  CHECK_OBJ(u, UPSTREAM_MAGIC);
  CHECK(u->state == UPSTREAM_IDLE && !u->call.exchange && u->peer->idle_count > 0);
  list_remove(&u->link);
  count_idle(u, -1);
}

/* --- taking ----------------------------------------------------------------------------------------------- */

/* TLS may have something to say that is no news, as a session ticket. Of a peer nothing is expected. */
bool pool_is_silent(struct upstream *u) { return u->conn.tls && conn_look(&u->conn) == IO_AGAIN; }

/* The loop tells what has come, but not yet of a connection that was given back in this very turn; and with TLS
 * it may want to tell of a record that was read since, which is no news for the next exchange either. */
static bool is_still_silent(struct upstream *u) {
  bool is_told = conn_has_news(&u->conn);
  if (!is_told && u->idle_since != conn_turn(&u->conn)) return true;
  if (!u->conn.tls) return !is_told && conn_look(&u->conn) == IO_AGAIN;
  if (!pool_is_silent(u)) return false;
  conn_want_read(&u->conn, false);
  conn_want_read(&u->conn, true);
  return true;
}

/* One that will be found closed, or with bytes that nobody asked for, is not taken: they would be the answer to
 * another request (RFC 9112 section 6.3). */
static struct upstream *newest_idle(struct peer *peer) {
  while (!list_is_empty(&peer->idle)) {
    struct upstream *u = LIST_ENTRY(peer->idle.next, struct upstream, link);
    if (!timer_is_over(&u->call.timer) && is_still_silent(u)) return u;
    upstream_close(u);
  }
  return NULL;
}

struct upstream *pool_take(struct peer *peer) {
  struct upstream *u = newest_idle(peer);
  if (!u) return NULL;
  pool_leave(u);
  upstream_enter(u, UPSTREAM_READY);
  timer_clear(&u->call.timer);
  return u;
}

bool pool_is_at_rest(struct upstream *u) {
  struct conn *conn = &u->conn;
  return conn_look(conn) == IO_AGAIN && !conn_has_unsent(conn) && !conn->read_needs_write &&
         !conn->write_needs_read && !conn->shuts;
}

bool pool_lend(struct peer *peer, struct detached_conn *detached) {
  struct upstream *u;
  bool lends = false;
  while (!lends && (u = newest_idle(peer))) {
    lends = pool_is_at_rest(u);
    if (lends) *detached = conn_detach(&u->conn);
    upstream_close(u);
  }
  return lends;
}

/* --- giving back ------------------------------------------------------------------------------------------ */

/* A peak leaves no more spare connections than a peer is kept by: what is above that is for the next moment only. It
 * is not closed at once, since of a thousand exchanges at a time all may be between two requests. */
static unsigned idle_ms(const struct upstream *u) {
  const struct peer_options *o = &u->peer->options;
  bool is_surplus = u->peer->idle_count > o->max_idle || u->proxy->idle_count > IDLE_MOST;
  return is_surplus && o->idle_timeout_ms > SURPLUS_MS ? SURPLUS_MS : o->idle_timeout_ms;
}

void pool_put(struct upstream *u) {
  CHECK_OBJ(u, UPSTREAM_MAGIC);
  CHECK(!u->call.exchange && !u->borrow && !u->connect && !buf_len(&u->in) && !conn_has_unsent(&u->conn));
  u->idle_since = conn_turn(&u->conn);
  upstream_enter(u, UPSTREAM_IDLE);
  list_push_front(&u->peer->idle, &u->link);
  count_idle(u, 1);
  conn_want_write(&u->conn, false);
  conn_want_read(&u->conn, true);
  timer_set_strict(&u->call.timer, idle_ms(u));
  room_freed(u->proxy);
}

bool pool_close_oldest(struct peer *peer) {
  if (list_is_empty(&peer->idle)) return peer->http2 && http2_peer_close_idle(peer->http2);
  upstream_close(LIST_ENTRY(peer->idle.prev, struct upstream, link));
  return true;
}

void pool_close_all(struct peer *peer) {
  while (pool_close_oldest(peer)) continue;
}
