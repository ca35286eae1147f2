// SPDX-License-Identifier: Apache-2.0
// downstream: a client's connection from accept to close. Its state says who gets its events: greeting.c,
// http1_requests.c, an exchange, or ending.c.
#include "downstream/downstream.h"

#include <netinet/tcp.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/container.h"
#include "base/memory.h"
#include "downstream/http1.h"
#include "downstream/http2.h"
#include "exchange/deadline.h"
#include "exchange/exchange.h"
#include "exchange/proxy.h"
#include "shared/metrics.h"

enum { LOOK_MS = 1 };

static void on_readable(struct conn *conn);
static void on_writable(struct conn *conn);
static void on_due(struct timer *timer);

static const struct conn_events events = {on_readable, on_writable};

/* --- life ----------------------------------------------------------------------------------------------- */

void downstream_new(struct proxy *proxy, struct service *service, int fd, const struct sockaddr *client,
                    socklen_t client_length) {
  struct downstream *d = memory_zalloc(sizeof *d);
  int one = 1;
  d->proxy = proxy;
  d->service = service;
  service->connections++;
  cell_add(&service->traffic->accepted, 1);
  if (client_length > sizeof d->client) client_length = sizeof d->client;
  memcpy(&d->client, client, client_length);
  d->client_length = client_length;
  conn_init(&d->conn, proxy->loop, fd, &events, d);
  timer_init_patient(&d->stream.timer, proxy->loop, on_due);
  if (client->sa_family != AF_UNIX) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  http1_stream_init(d);
  list_push_back(&proxy->downstreams, &d->link);
  proxy->downstream_count++;
  proxy->fresh_count++;
  OBJ_INIT(d, DOWNSTREAM_MAGIC);
  conn_want_read(&d->conn, true);
  greeting_begin(d);
}

static void free_downstream(struct reaped *reaped) {
  struct downstream *d = CONTAINER_OF(reaped, struct downstream, reaped);
  CHECK(d->state == DOWNSTREAM_CLOSED && !d->stream.exchange && !d->in.data);
  OBJ_END(d, DOWNSTREAM_MAGIC);
  free(d->drain);
  http2_free(d);
  downstream_forget_client(d);
  free(d);
}

void downstream_close_because(struct downstream *d, enum error error) {
  CHECK_OBJ(d, DOWNSTREAM_MAGIC);
  if (d->state == DOWNSTREAM_CLOSED) return;
  struct proxy *proxy = d->proxy;
  struct exchange *x = d->stream.exchange;
  d->state = DOWNSTREAM_CLOSED;
  if (x) ending_shows_cut(d);
  d->stream.exchange = NULL;
  greeting_end(d);
  conn_close(&d->conn);
  timer_stop(&d->stream.timer);
  if (x) exchange_client_gone(x, error);
  if (d->http2) http2_gone(d, error);
  if (d->attachment) d->attachment->on_close(d->attachment);
  http1_forget_head(d);
  buf_release(&d->in);
  list_remove(&d->link);
  CHECK(proxy->downstream_count > 0 && d->service->connections > 0);
  proxy->downstream_count--;
  if (d->requests == 0) proxy->fresh_count--;
  reaper_add(&proxy->reaper, &d->reaped, free_downstream);
  struct service *service = d->service;
  if (d->is_admitted) census_dismiss(service->census, &d->admitted);
  if (service->census) census_leave(service->census);
  if (--service->connections == 0 && service->closing && service->on_unused) service->on_unused(service);
  room_freed(proxy);
  proxy_ease(proxy);
}

void downstream_close(struct downstream *d) { downstream_close_because(d, ERROR_CLIENT_GONE); }

/* The rest of an answer goes first. */
void downstream_end_idle(struct downstream *d) {
  if (conn_has_unsent(&d->conn))
    downstream_linger(d);
  else
    downstream_close(d);
}

/* A request that has arrived is served, also where the loop has not told of it yet. */
static void close_idle(struct downstream *d) {
  if (d->state == DOWNSTREAM_IDLE && conn_is_ready(&d->conn))
    timer_set(&d->stream.timer, LOOK_MS);
  else
    downstream_end_idle(d);
}

/* A client that was served a moment ago may have its next request on the way: it gets a moment to arrive, and
 * an answer that says that the connection closes. */
static void stop_idle(struct downstream *d, unsigned patience_ms) {
  uint64_t idle = d->state == DOWNSTREAM_IDLE ? timer_gone_ms(&d->stream.timer) : 0,
           left = timer_left_ms(&d->stream.timer);
  if (idle >= patience_ms)
    close_idle(d);
  else if (!left || left > patience_ms - idle)
    timer_set(&d->stream.timer, patience_ms - idle);
}

void downstream_stop(struct downstream *d, unsigned patience_ms) {
  CHECK_OBJ(d, DOWNSTREAM_MAGIC);
  switch (d->state) {
  case DOWNSTREAM_PREFACE:
  case DOWNSTREAM_HANDSHAKE:
  case DOWNSTREAM_IDLE: stop_idle(d, patience_ms); break;
  case DOWNSTREAM_BUSY: exchange_hasten(d->stream.exchange); break;
  case DOWNSTREAM_HTTP2: http2_stop(d, patience_ms); break;
  case DOWNSTREAM_DRAIN:
  case DOWNSTREAM_LINGER: ending_hasten(d); break;
  case DOWNSTREAM_HEAD:
  case DOWNSTREAM_CLOSED: break;
  }
}

/* The last one was not told to be the last. */
unsigned downstream_idle_ms(const struct downstream *d, enum wait wait) {
  const struct proxy *proxy = d->proxy;
  const struct settings *settings = d->service->policy.settings;
  unsigned allowed = wait_ms(wait, settings), patience = wait_ms(WAIT_LAST, settings);
  if (!proxy->stopping && !d->service->closing) return allowed;
  if (proxy->stopping) patience = proxy->patience_ms;
  return patience < allowed ? patience : allowed;
}

void downstream_hold_head(struct downstream *d, size_t bytes) {
  CHECK(d->proxy->heads_held >= d->head_held);
  d->proxy->heads_held += bytes - d->head_held;
  d->head_held = (unsigned)bytes;
}

/* --- events --------------------------------------------------------------------------------------------- */

static void on_readable(struct conn *conn) {
  struct downstream *d = conn->owner;
  CHECK_OBJ(d, DOWNSTREAM_MAGIC);
  CHECK(&d->conn == conn && (d->state == DOWNSTREAM_BUSY) == (d->stream.exchange != NULL));
  switch (d->state) {
  case DOWNSTREAM_PREFACE:
  case DOWNSTREAM_HANDSHAKE: greeting_go_on(d); break;
  case DOWNSTREAM_IDLE:
  case DOWNSTREAM_HEAD: http1_read_head(d); break;
  case DOWNSTREAM_BUSY: http1_stream_readable(d); break;
  case DOWNSTREAM_HTTP2: http2_readable(d); break;
  case DOWNSTREAM_DRAIN:
  case DOWNSTREAM_LINGER: ending_readable(d); break;
  case DOWNSTREAM_CLOSED: break;
  }
}

static void on_writable(struct conn *conn) {
  struct downstream *d = conn->owner;
  CHECK_OBJ(d, DOWNSTREAM_MAGIC);
  if (d->state == DOWNSTREAM_HANDSHAKE)
    greeting_go_on(d);
  else if (d->state == DOWNSTREAM_LINGER)
    ending_writable(d);
  else if (d->state == DOWNSTREAM_HTTP2)
    http2_writable(d);
  else if (d->state != DOWNSTREAM_BUSY || !exchange_stream_writable(d->stream.exchange))
    conn_want_write(conn, false);
}

static void on_due(struct timer *timer) {
  struct downstream *d = CONTAINER_OF(timer, struct downstream, stream.timer);
  CHECK_OBJ(d, DOWNSTREAM_MAGIC);
  switch (d->state) {
  case DOWNSTREAM_HEAD: http1_head_due(d); break;
  case DOWNSTREAM_BUSY: exchange_stream_due(d->stream.exchange); break;
  case DOWNSTREAM_HTTP2: http2_due(d); break;
  case DOWNSTREAM_DRAIN:
  case DOWNSTREAM_LINGER: ending_due(d); break;
  case DOWNSTREAM_HANDSHAKE: greeting_due(d); break;
  case DOWNSTREAM_IDLE: close_idle(d); break;
  case DOWNSTREAM_PREFACE:
  case DOWNSTREAM_CLOSED: downstream_close(d); break;
  }
}
