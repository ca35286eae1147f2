// SPDX-License-Identifier: Apache-2.0
// downstream: a client's connection from accept to close. The hard problem is its end: whatever was answered
// must be readable for the client, although it may still be sending. So after an early answer the rest of the
// request body is read away within bounds, and a close ends our direction first and waits shortly for the
// client's (invariant I10).
#include "proxy/downstream.h"

#include <netinet/tcp.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/memory.h"
#include "proxy/exchange.h"
#include "proxy/proxy.h"
#include "shared/metrics.h"

/* Of reading away what nobody wants: the longest pause, and the longest time in all. */
enum { REST_PAUSE_MS = 2000, REST_MS = 30000, SCRATCH_BYTES = 16384 };

static void on_readable(struct conn *conn);
static void on_writable(struct conn *conn);
static void on_due(struct timer *timer);
static void read_head(struct downstream *d);
static void drain(struct downstream *d);
static void linger(struct downstream *d);
static void go_on_lingering(struct downstream *d);
static void await_request(struct downstream *d);

static const struct conn_events events = {on_readable, on_writable};

/* --- life
 * ---------------------------------------------------------------------------------------------------- */

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
  timer_init_patient(&d->timer, proxy->loop, on_due);
  if (client->sa_family != AF_UNIX) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  list_push_back(&proxy->downstreams, &d->link);
  proxy->downstream_count++;
  proxy->fresh_count++;
  OBJ_INIT(d, DOWNSTREAM_MAGIC);
  conn_want_read(&d->conn, true);
  greeting_begin(d);
}

static void free_downstream(struct grave *grave) {
  struct downstream *d = LIST_ENTRY(grave, struct downstream, grave);
  CHECK(d->state == DOWNSTREAM_CLOSED && !d->exchange && !d->in.data);
  OBJ_END(d, DOWNSTREAM_MAGIC);
  free(d->drain);
  free((void *)d->client_text.ptr);
  free(d);
}

/* Where the end of the connection is the end of the response, a response that is cut off must not look whole:
 * its client gets a reset. */
static void keep_from_looking_whole(struct downstream *d, const struct exchange *x) {
  bool ends_with_connection = x->sent_status && x->down.out == FRAMING_CLOSE;
  if (ends_with_connection && !x->down.done) conn_reset_on_close(&d->conn);
}

void downstream_close_because(struct downstream *d, enum error error) {
  CHECK_OBJ(d, DOWNSTREAM_MAGIC);
  if (d->state == DOWNSTREAM_CLOSED) return;
  struct proxy *proxy = d->proxy;
  struct exchange *x = d->exchange;
  d->state = DOWNSTREAM_CLOSED;
  d->exchange = NULL;
  if (x) keep_from_looking_whole(d, x);
  greeting_end(d);
  conn_close(&d->conn);
  timer_stop(&d->timer);
  if (x) exchange_client_gone(x, error);
  if (d->attachment) d->attachment->on_close(d->attachment);
  buf_release(&d->in);
  list_remove(&d->link);
  CHECK(proxy->downstream_count > 0 && d->service->connections > 0);
  proxy->downstream_count--;
  if (d->requests == 0) proxy->fresh_count--;
  reaper_add(&proxy->reaper, &d->grave, free_downstream);
  struct service *service = d->service;
  if (d->is_admitted) census_dismiss(service->census, &d->admitted);
  if (service->census) census_leave(service->census);
  if (--service->connections == 0 && service->closing && service->on_unused) service->on_unused(service);
  room_freed(proxy);
  proxy_ease(proxy);
}

static void describe_client(struct downstream *d) {
  char text[ADDR_TEXT];
  size_t length = addr_format_client((const struct sockaddr *)&d->client, d->client_length, text);
  d->client_text = (struct str){str_to_cstring((struct str){text, length}), length};
}

void downstream_set_client(struct downstream *d, const struct sockaddr_storage *client, socklen_t length) {
  CHECK(length <= sizeof d->client);
  free((void *)d->client_text.ptr);
  d->client_text = (struct str){0};
  d->client = *client;
  d->client_length = length;
}

struct str downstream_client(struct downstream *d) {
  if (!d->client_text.ptr) describe_client(d);
  return d->client_text;
}

void downstream_close(struct downstream *d) { downstream_close_because(d, ERROR_CLIENT_GONE); }

/* The rest of an answer goes first. */
static void close_idle(struct downstream *d) {
  if (conn_owes(&d->conn))
    downstream_linger(d);
  else
    downstream_close(d);
}

/* A client that was served a moment ago may have its next request on the way: it gets a moment to arrive, and
 * an answer that says that the connection closes. */
void downstream_stop(struct downstream *d, unsigned patience_ms) {
  const struct settings *settings = d->service->settings;
  if (d->state > DOWNSTREAM_IDLE) return;
  uint64_t allowed = d->requests ? settings->keepalive_timeout_ms : settings->head_timeout_ms;
  uint64_t left = timer_left_ms(&d->timer), idle = allowed > left ? allowed - left : 0;
  if (d->state < DOWNSTREAM_IDLE) idle = 0; /* greets still */
  if (idle >= patience_ms)
    close_idle(d);
  else if (!left || left > patience_ms - idle)
    timer_set(&d->timer, patience_ms - idle);
}

void downstream_quieten(struct downstream *d) {
  timer_clear(&d->timer);
  conn_want_read(&d->conn, false);
  conn_want_write(&d->conn, false);
}

/* --- events
 * -------------------------------------------------------------------------------------------------- */

static void on_readable(struct conn *conn) {
  struct downstream *d = conn->owner;
  CHECK_OBJ(d, DOWNSTREAM_MAGIC);
  CHECK(&d->conn == conn && (d->state == DOWNSTREAM_BUSY) == (d->exchange != NULL));
  switch (d->state) {
  case DOWNSTREAM_PREFACE:
  case DOWNSTREAM_HANDSHAKE: greeting_go_on(d); break;
  case DOWNSTREAM_IDLE:
  case DOWNSTREAM_HEAD: read_head(d); break;
  case DOWNSTREAM_BUSY: exchange_downstream_readable(d->exchange); break;
  case DOWNSTREAM_DRAIN: drain(d); break;
  case DOWNSTREAM_LINGER: linger(d); break;
  case DOWNSTREAM_CLOSED: break;
  }
}

static void on_writable(struct conn *conn) {
  struct downstream *d = conn->owner;
  CHECK_OBJ(d, DOWNSTREAM_MAGIC);
  if (d->state == DOWNSTREAM_HANDSHAKE)
    greeting_go_on(d);
  else if (d->state == DOWNSTREAM_BUSY)
    exchange_downstream_writable(d->exchange);
  else if (d->state == DOWNSTREAM_LINGER)
    go_on_lingering(d);
  else
    conn_want_write(conn, false);
}

static void begin_exchange(struct downstream *d, size_t skipped, size_t length, enum error error) {
  CHECK(d->state == DOWNSTREAM_IDLE || d->state == DOWNSTREAM_HEAD);
  d->state = DOWNSTREAM_BUSY;
  if (d->requests++ == 0) d->proxy->fresh_count--;
  const char *why = error == ERROR_NONE ? NULL : d->scan.why;
  d->scan = (struct head_scan){0};
  timer_clear(&d->timer);
  exchange_begin(d, skipped, length, error, why);
}

static void on_due(struct timer *timer) {
  struct downstream *d = LIST_ENTRY(timer, struct downstream, timer);
  CHECK_OBJ(d, DOWNSTREAM_MAGIC);
  switch (d->state) {
  case DOWNSTREAM_HEAD: begin_exchange(d, 0, 0, ERROR_REQUEST_TIMEOUT); break;
  case DOWNSTREAM_BUSY: exchange_downstream_due(d->exchange); break;
  case DOWNSTREAM_DRAIN: downstream_linger(d); break;
  case DOWNSTREAM_HANDSHAKE: greeting_due(d); break;
  case DOWNSTREAM_IDLE: close_idle(d); break;
  case DOWNSTREAM_PREFACE:
  case DOWNSTREAM_LINGER:
  case DOWNSTREAM_CLOSED: downstream_close(d); break;
  }
}

/* --- before a request
 * ---------------------------------------------------------------------------------------- */

void downstream_greeted(struct downstream *d) {
  d->state = DOWNSTREAM_IDLE;
  timer_set(&d->timer, d->service->settings->head_timeout_ms);
}

/* A part of a head is there: its deadline runs from its first byte and is not moved by further bytes. */
static void expect_rest_of_head(struct downstream *d) {
  if (d->state == DOWNSTREAM_HEAD) return;
  d->state = DOWNSTREAM_HEAD;
  timer_set(&d->timer, d->service->settings->head_timeout_ms);
}

/* Empty lines alone are no request that could be late or end early (RFC 9112 section 2.2). The timer runs on.
 */
static void skip_empty_lines(struct downstream *d) {
  d->state = DOWNSTREAM_IDLE;
  buf_consume(&d->in, d->scan.skipped);
  d->scan = (struct head_scan){0};
}

/* True: an exchange has begun. */
static bool scan_head(struct downstream *d) {
  size_t length = 0;
  enum error error = ERROR_NONE;
  const struct parser_limits *limits = &d->service->settings->head;
  if (!buf_len(&d->in)) return false;
  switch (head_scan_request(&d->scan, buf_ptr(&d->in), buf_len(&d->in), limits, &length, &error)) {
  case HEAD_MORE:
    if (d->scan.skipped == buf_len(&d->in))
      skip_empty_lines(d);
    else
      expect_rest_of_head(d);
    return false;
  case HEAD_WHOLE: break;
  case HEAD_BAD: length = 0; break;
  }
  begin_exchange(d, d->scan.skipped, length, error);
  return true;
}

static void read_head(struct downstream *d) {
  size_t moved = 0;
  if (buf_len(&d->in) && d->state == DOWNSTREAM_IDLE && scan_head(d)) return; /* pipelined */
  for (;;) {
    buf_reserve(&d->in, buf_len(&d->in) ? buf_len(&d->in) : SCRATCH_BYTES);
    enum io result = conn_read(&d->conn, buf_tail(&d->in), buf_space(&d->in), &moved);
    if (result != IO_OK) {
      if (!buf_len(&d->in)) buf_release(&d->in);
      if (result == IO_AGAIN) return;
      d->half_closed = result == IO_EOF;
      if (d->half_closed && buf_len(&d->in))
        begin_exchange(d, 0, 0, ERROR_REQUEST_TRUNCATED);
      else if (d->half_closed)
        close_idle(d);
      else
        downstream_close(d);
      return;
    }
    buf_commit(&d->in, moved);
    if (scan_head(d)) return;
  }
}

/* --- after an exchange
 * --------------------------------------------------------------------------------------- */

static void watch_rest(struct downstream *d) {
  uint64_t now = loop_now_ms(d->proxy->loop);
  if (!d->rest_until_ms) d->rest_until_ms = now + REST_MS;
  uint64_t left = d->rest_until_ms > now ? d->rest_until_ms - now : 0;
  timer_set(&d->timer, left < REST_PAUSE_MS ? left : REST_PAUSE_MS);
}

/* A close with bytes unread would reset the connection, and the client might lose what it has not read yet. As long
 * as it takes less than we have to say, nothing else ends it than the time that an answer has. */
static void go_on_lingering(struct downstream *d) {
  bool owes = conn_owes(&d->conn);
  if (d->half_closed && !owes && !d->conn.shuts) {
    downstream_close(d);
    return;
  }
  conn_want_write(&d->conn, owes);
  conn_want_read(&d->conn, !d->half_closed);
  if (owes)
    timer_set(&d->timer, d->service->settings->send_timeout_ms);
  else
    watch_rest(d);
}

void downstream_linger(struct downstream *d) {
  d->state = DOWNSTREAM_LINGER;
  buf_release(&d->in);
  conn_shutdown(&d->conn);
  go_on_lingering(d);
}

static void linger(struct downstream *d) {
  static _Thread_local char scratch[SCRATCH_BYTES];
  size_t moved = 0;
  enum io result = conn_read(&d->conn, scratch, sizeof scratch, &moved);
  if (result == IO_AGAIN) return;
  if (result == IO_EOF) d->half_closed = true;
  if (result == IO_ERROR || (result == IO_EOF && !conn_owes(&d->conn)))
    downstream_close(d);
  else if (!conn_owes(&d->conn))
    watch_rest(d);
  else
    conn_want_read(&d->conn, !d->half_closed);
}

static void await_request(struct downstream *d) {
  if (d->proxy->stopping || d->service->closing || (d->half_closed && !buf_len(&d->in))) {
    downstream_linger(d);
    return;
  }
  d->state = DOWNSTREAM_IDLE;
  d->rest_until_ms = 0;
  conn_want_read(&d->conn, true);
  conn_feed_decrypted(&d->conn);
  timer_set(&d->timer, d->service->settings->keepalive_timeout_ms);
  if (buf_len(&d->in))
    conn_feed(&d->conn);
  else
    buf_release(&d->in);
  room_freed(d->proxy);
}

static void drain(struct downstream *d) {
  switch (relay_pump(d->drain)) {
  case RELAY_READING: watch_rest(d); return;
  case RELAY_DONE:
    free(d->drain);
    d->drain = NULL;
    await_request(d);
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
  *d->drain = x->up; /* which was stopped, and owns nothing any more */
  relay_restart(d->drain, FRAMING_NONE, (struct str){0}, (struct str){0});
  d->drain->from = &d->conn;
  d->drain->in = &d->in;
  d->drain->to = NULL;
  d->drain->copy = NULL;
  d->drain->filter = NULL;
  d->drain->arena = NULL;
  d->drain->limit = x->up.bytes + x->settings->drain_bytes;
  if (d->drain->limit == 0) d->drain->limit = 1; /* 0 is no limit */
  drain(d);
}

void downstream_exchange_ended(struct downstream *d, const struct exchange *x) {
  CHECK_OBJ(d, DOWNSTREAM_MAGIC);
  CHECK(d->exchange == x && d->state == DOWNSTREAM_BUSY);
  d->exchange = NULL;
  timer_clear(&d->timer); /* reading stays as it is: what follows mostly reads */
  conn_want_write(&d->conn, false);
  if (x->aborted && !x->tunnel) {
    keep_from_looking_whole(d, x);
    downstream_close(d);
    return;
  }
  if (x->closes || x->tunnel)
    downstream_linger(d);
  else if (x->up.source_ended)
    await_request(d);
  else
    begin_drain(d, x);
}
