// SPDX-License-Identifier: Apache-2.0
// connection: take one from the pool, borrow or connect, and hand over. The hard problem is that a connection changes
// its owner: its events go to the pool, to the exchange that uses it, or to nobody while its answer is kept, and
// which of them is decided here, by its state alone.
#include "upstream/upstream.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/container.h"
#include "base/log.h"
#include "base/memory.h"
#include "downstream/downstream.h"
#include "exchange/account.h"
#include "exchange/exchange.h"
#include "exchange/peer.h"
#include "exchange/proxy.h"
#include "http/proxy_protocol.h"
#include "net/tls.h"
#include "net/tls_names.h"
#include "shared/metrics.h"
#include "upstream/borrow.h"
#include "upstream/http2.h"
#include "upstream/pool.h"

static void on_connected(struct connect *connect, enum error error);
static void connected(struct upstream *u, enum error error);
static void on_readable(struct conn *conn);
static void on_writable(struct conn *conn);
static void on_due(struct timer *timer);

static const struct conn_events events = {on_readable, on_writable};

/* Waiting for descriptors and ports: how often it is looked, and how long for a port. */
enum { LOOK_AGAIN_MS = 10, PORT_MS = 100 };

static void free_upstream(struct reaped *reaped) {
  struct upstream *u = CONTAINER_OF(reaped, struct upstream, reaped);
  CHECK(u->state == UPSTREAM_CLOSED && !u->peer && !u->borrow && !u->connect && !u->in.data);
  if (u->http2) http2_connection_free(u->http2);
  OBJ_END(u, UPSTREAM_MAGIC);
  free(u);
}

void upstream_close(struct upstream *u) {
  CHECK_OBJ(u, UPSTREAM_MAGIC);
  if (u->state == UPSTREAM_CLOSED) return;
  if (u->state == UPSTREAM_IDLE) pool_leave(u);
  if (u->http2) http2_peer_leave(u->http2);
  if (u->borrow) borrow_cancel(u, false);
  upstream_enter(u, UPSTREAM_CLOSED);
  if (u->connect) {
    connect_cancel(u->connect);
    free(u->connect);
    u->connect = NULL;
  }
  conn_close(&u->conn);
  timer_stop(&u->call.timer);
  buf_release(&u->in);
  CHECK(u->proxy->upstream_count > 0);
  u->proxy->upstream_count--;
  room_freed(u->proxy);
  peer_release(u->proxy, u->peer);
  u->peer = NULL;
  if (!u->http2 || http2_connection_is_idle(u->http2)) upstream_reap(u); /* else its last call does */
}

void upstream_reap(struct upstream *u) { reaper_add(&u->proxy->reaper, &u->reaped, free_upstream); }

/* --- connecting ------------------------------------------------------------------------------------------- */

static struct str without_client(struct exchange *x, unsigned version) {
  struct proxy_protocol header = {.is_of_client = false};
  char *bytes = arena_alloc(&x->arena, PROXY_PROTOCOL_BYTES);
  return (struct str){bytes, proxy_protocol_write(version, &header, bytes)};
}

/* Behind a trusted proxy: the client whose address that has told. */
static void take_real_client(struct exchange *x, struct proxy_protocol *header) {
  struct addr addr;
  const char *why;
  struct str text = x->rare->client;
  bool has_port =
      str_find(text, '.') < text.len ? str_find(text, ':') < text.len : text.ptr[text.len - 1] != ']';
  if (!has_port) text = arena_printf(&x->arena, "%.*s:0", STR_ARG(text));
  if (!addr_parse(text, &addr, &why) || addr.kind != ADDR_IP) return;
  memcpy(&header->source, &addr.socket, addr.length);
  header->source_length = addr.length;
}

/* Says who the client is, to peers that want a PROXY header. */
static struct str proxy_header(struct exchange *x) {
  struct proxy_protocol header = {0};
  unsigned version = x->now.peer->options.proxy_protocol;
  if (!version) return (struct str){0};
  struct downstream *d = x->stream->downstream;
  if (!d) return without_client(x, version); /* it is asked for the cache alone */
  header.source = d->client;
  header.source_length = d->client_length;
  header.is_of_client = true;
  if (x->rare && x->rare->connection.ptr) take_real_client(x, &header);
  header.destination_length = sizeof header.destination;
  if (getsockname(d->conn.fd, (struct sockaddr *)&header.destination, &header.destination_length) != 0)
    header.destination_length = 0;
  char *bytes = arena_alloc(&x->arena, PROXY_PROTOCOL_BYTES);
  return (struct str){bytes, proxy_protocol_write(version, &header, bytes)};
}

void upstream_connect(struct upstream *u, struct arena *texts, struct str preface) {
  struct peer *peer = u->peer;
  struct tls_names said = {peer->options.sni, peer->options.verify_name};
  struct tls_names names = tls_names(said, &peer->addr, texts);
  struct connect_options options = {.addr = &peer->addr,
                                    .family = peer->options.family,
                                    .tls = peer->tls,
                                    .sni = names.sni,
                                    .verify_name = names.verify,
                                    .resumption = &peer->resumption,
                                    .preface = preface,
                                    .connect_timeout_ms = peer->options.connect_timeout_ms,
                                    .handshake_timeout_ms = peer->options.handshake_timeout_ms};
  u->connect = memory_alloc(sizeof *u->connect);
  connect_start(u->connect, &u->conn, u->proxy->loop, u->proxy->resolver, &options, on_connected);
}

static void start_connecting(struct upstream *u) {
  upstream_connect(u, &u->call.exchange->arena, proxy_header(u->call.exchange));
}

/* Where this machine lacks something, the peer is not at fault, and what is lacking may be there in a moment: the
 * attempt waits, for as long as a connection may take. A port is lacking for this peer only: another may be asked.
 * False: it has waited long enough. */
static bool wait_for_room(struct upstream *u, enum error error) {
  unsigned most_ms = u->peer->options.connect_timeout_ms;
  uint64_t now_ms = loop_now_ms(u->proxy->loop);
  if (error == ERROR_NO_PORT && most_ms > PORT_MS) most_ms = PORT_MS;
  if (!u->room_until_ms) u->room_until_ms = now_ms + most_ms;
  if (now_ms >= u->room_until_ms) return false;
  timer_set(&u->call.timer, LOOK_AGAIN_MS);
  return true;
}

bool upstream_waits_for_room(struct upstream *u, enum error error) {
  if (error != ERROR_LOCAL_SHORTAGE && error != ERROR_NO_PORT) return false;
  if (!wait_for_room(u, error)) return false;
  free(u->connect);
  u->connect = NULL;
  if (error == ERROR_LOCAL_SHORTAGE) room_make(u->proxy);
  return true;
}

static void connect_anew(struct upstream *u) {
  upstream_enter(u, UPSTREAM_CONNECTING);
  account_upstream(u->call.exchange);
  if (room_for_upstream(u->proxy))
    start_connecting(u);
  else
    wait_for_room(u, ERROR_LOCAL_SHORTAGE);
}

static void assign(struct exchange *x, struct upstream *u) {
  CHECK(u->state == UPSTREAM_READY && u->peer == x->now.peer);
  u->call.exchange = x;
  CHECK(!u->head_length);
  u->scan = (struct head_scan){0};
  x->now.call = &u->call;
  x->now.reused = true;
  account_upstream(x);
}

struct upstream *upstream_new(struct proxy *proxy, struct peer *peer) {
  struct upstream *u = memory_zalloc(sizeof *u);
  u->proxy = proxy;
  u->peer = peer;
  u->conn.fd = -1;
  http1_call_init(u);
  list_init(&u->link);
  timer_init_patient(&u->call.timer, proxy->loop, on_due);
  peer_hold(peer);
  proxy->upstream_count++;
  OBJ_INIT(u, UPSTREAM_MAGIC);
  return u;
}

void call_open(struct exchange *x) {
  if (x->now.peer->http2 && http2_peer_open(x)) return;
  struct upstream *u = pool_take(x->now.peer);
  if (u) {
    assign(x, u);
    return;
  }
  u = upstream_new(x->proxy, x->now.peer);
  u->call.exchange = x;
  x->now.call = &u->call;
  x->now.reused = false;
  if (borrow_ask(u))
    timer_set(&u->call.timer, BORROW_MS);
  else
    connect_anew(u);
}

enum wait call_awaits(const struct call *c) {
  return c->is_http2 ? http2_peer_awaits(c->exchange->now.peer->http2) : upstream_awaits(c->upstream);
}

enum wait upstream_awaits(const struct upstream *u) {
  if (u->state == UPSTREAM_BORROWING) return WAIT_SIBLING;
  if (u->state != UPSTREAM_CONNECTING) return WAIT_NOTHING;
  if (!u->connect) return WAIT_ROOM;
  if (u->connect->state == CONNECT_RESOLVING) return WAIT_NAME;
  return u->connect->state == CONNECT_HANDSHAKE ? WAIT_PEER_HANDSHAKE : WAIT_CONNECTION;
}

/* One of our own may have come back while `u` waited: the exchange goes on with that one, and `u` is closed. */
static bool goes_on_with_own(struct upstream *u) {
  struct exchange *x = u->call.exchange;
  struct upstream *own = pool_take(u->peer);
  if (!own) return false;
  assign(x, own);
  u->call.exchange = NULL;
  upstream_close(u);
  exchange_run(x);
  return true;
}

static void look_for_room(struct upstream *u) {
  struct exchange *x = u->call.exchange;
  if (goes_on_with_own(u)) return;
  if (room_for_upstream(u->proxy)) {
    start_connecting(u);
  } else if (!wait_for_room(u, ERROR_LOCAL_SHORTAGE)) {
    exchange_fail(x, ERROR_LOCAL_SHORTAGE);
  }
}

static void on_connected(struct connect *connect, enum error error) {
  struct upstream *u = CONTAINER_OF(connect->conn, struct upstream, conn);
  CHECK_OBJ(u, UPSTREAM_MAGIC);
  CHECK(u->state == UPSTREAM_CONNECTING);
  if (upstream_waits_for_room(u, error)) return;
  if (u->http2)
    http2_peer_connected(u, error);
  else
    connected(u, error);
}

/* For one exchange, that is: without HTTP/2, as far as was known. */
static void connected(struct upstream *u, enum error error) {
  struct exchange *x = u->call.exchange;
  CHECK(x && x->now.call == &u->call);
  if (error != ERROR_NONE) {
    exchange_fail_because(x, error, u->connect->why);
    return;
  }
  account_connected(x);
  if (u->peer->http2 && tls_chose_http2(&u->conn)) {
    http2_peer_adopt(u);
    return;
  }
  upstream_begin_http1(u);
  exchange_run(x);
}

void upstream_begin_http1(struct upstream *u) {
  free(u->connect);
  u->connect = NULL;
  upstream_enter(u, UPSTREAM_READY);
  conn_adopt(&u->conn, &events, u);
  conn_want_read(&u->conn, true);
}

/* --- between workers ------------------------------------------------------------------------------------ */

static bool take_over(struct upstream *u, struct detached_conn *detached) {
  conn_attach(&u->conn, detached, u->proxy->loop, &events, u);
  if (u->conn.tls) tls_keep_sessions(&u->conn, &u->peer->resumption);
  if (pool_is_at_rest(u)) {
    conn_want_read(&u->conn, true);
    return true;
  }
  conn_close(&u->conn);
  return false;
}

static void go_without(struct upstream *u, bool asks_again) {
  if (goes_on_with_own(u)) return;
  if (!asks_again || !borrow_ask(u)) {
    timer_clear(&u->call.timer);
    connect_anew(u);
  }
}

void upstream_answered(struct upstream *u, struct detached_conn *detached) {
  struct exchange *x = u->call.exchange;
  if (!detached || !take_over(u, detached)) {
    go_without(u, ++u->asked < x->proxy->siblings->count);
    return;
  }
  upstream_enter(u, UPSTREAM_READY);
  timer_clear(&u->call.timer);
  assign(x, u);
  cell_add(&x->proxy->tally->upstream_borrowed, 1);
  exchange_run(x);
}

void upstream_keep(struct proxy *proxy, struct peer *peer, struct detached_conn *detached) {
  struct upstream *u = upstream_new(proxy, peer);
  if (take_over(u, detached) && !proxy->stopping)
    pool_put(u);
  else
    upstream_close(u);
}

/* --- events --------------------------------------------------------------------------------------------- */

/* What comes stays in the kernel until the answer is wanted, or dropped. */
static bool is_kept(struct upstream *u) {
  if (u->call.is_kept) u->call.codec->pause(&u->call);
  return u->call.is_kept;
}

static bool is_rival(const struct upstream *u) {
  return u->call.exchange && u->call.exchange->now.call != &u->call;
}

static void on_readable(struct conn *conn) {
  struct upstream *u = conn->owner;
  CHECK_OBJ(u, UPSTREAM_MAGIC);
  CHECK(&u->conn == conn && (u->state == UPSTREAM_IDLE) == (u->call.exchange == NULL));
  if (is_kept(u)) return;
  if (u->call.exchange) exchange_prefetch(u->call.exchange);
  if (u->state == UPSTREAM_IDLE && !pool_is_silent(u))
    upstream_close(u);
  else if (is_rival(u))
    hedge_readable(u->call.exchange);
  else if (u->call.exchange && !exchange_call_readable(u->call.exchange))
    conn_want_read(conn, false);
}

static void on_writable(struct conn *conn) {
  struct upstream *u = conn->owner;
  CHECK_OBJ(u, UPSTREAM_MAGIC);
  if (is_kept(u)) return;
  if (!u->call.exchange) return;
  if (is_rival(u) || !exchange_call_writable(u->call.exchange)) conn_want_write(conn, false);
}

static void on_answer_due(struct upstream *u) {
  if (u->borrow) borrow_cancel(u, true);
  go_without(u, false);
}

static void on_due(struct timer *timer) {
  struct upstream *u = CONTAINER_OF(timer, struct upstream, call.timer);
  CHECK_OBJ(u, UPSTREAM_MAGIC);
  if (is_kept(u)) return;
  if (u->state == UPSTREAM_HTTP2) {
    http2_connection_due(u->http2);
  } else if (u->state == UPSTREAM_IDLE) {
    upstream_close(u);
  } else if (u->state == UPSTREAM_BORROWING) {
    on_answer_due(u);
  } else if (u->state == UPSTREAM_CONNECTING && u->http2) {
    http2_peer_look_for_room(u);
  } else if (u->state == UPSTREAM_CONNECTING) {
    look_for_room(u);
  } else if (is_rival(u)) {
    hedge_due(u->call.exchange);
  } else if (u->call.exchange) {
    exchange_call_due(u->call.exchange);
  }
}
