// SPDX-License-Identifier: Apache-2.0
// downstream: a client's connection from accept to close, and the wait for each request. What follows an exchange is in
// ending.c. The hard problem is a client that is never quite silent: the time for a head counts from the first byte of
// it that came, whatever empty lines lie between, and is over with a whole head only.
#include "proxy/downstream.h"

#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/container.h"
#include "base/memory.h"
#include "http/claims.h"
#include "proxy/exchange.h"
#include "proxy/proxy.h"
#include "shared/metrics.h"

enum { READ_BYTES = 16384, EMPTY_BYTES = 64, LOOK_MS = 1 };

static void on_readable(struct conn *conn);
static void on_writable(struct conn *conn);
static void on_due(struct timer *timer);
static void read_head(struct downstream *d);
static void forget_client(struct downstream *d);
static void hold_head(struct downstream *d, size_t bytes);

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
  timer_init_patient(&d->timer, proxy->loop, on_due);
  if (client->sa_family != AF_UNIX) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  list_push_back(&proxy->downstreams, &d->link);
  proxy->downstream_count++;
  proxy->fresh_count++;
  OBJ_INIT(d, DOWNSTREAM_MAGIC);
  conn_want_read(&d->conn, true);
  greeting_begin(d);
}

void downstream_init_bare(struct downstream *d, struct proxy *proxy, struct service *service) {
  *d = (struct downstream){
      .proxy = proxy, .service = service, .conn.fd = -1, .state = DOWNSTREAM_BUSY, .requests = 1};
  OBJ_INIT(d, DOWNSTREAM_MAGIC);
}

void downstream_end_bare(struct downstream *d) {
  CHECK(!conn_is_open(&d->conn));
  if (d->attachment) d->attachment->on_close(d->attachment);
  forget_client(d);
  OBJ_END(d, DOWNSTREAM_MAGIC);
}

static void free_downstream(struct reaped *reaped) {
  struct downstream *d = CONTAINER_OF(reaped, struct downstream, reaped);
  CHECK(d->state == DOWNSTREAM_CLOSED && !d->exchange && !d->in.data);
  OBJ_END(d, DOWNSTREAM_MAGIC);
  free(d->drain);
  forget_client(d);
  free(d);
}

void downstream_close_because(struct downstream *d, enum error error) {
  CHECK_OBJ(d, DOWNSTREAM_MAGIC);
  if (d->state == DOWNSTREAM_CLOSED) return;
  struct proxy *proxy = d->proxy;
  struct exchange *x = d->exchange;
  d->state = DOWNSTREAM_CLOSED;
  d->exchange = NULL;
  if (x) ending_shows_cut(d, x);
  greeting_end(d);
  conn_close(&d->conn);
  timer_stop(&d->timer);
  if (x) exchange_client_gone(x, error);
  if (d->attachment) d->attachment->on_close(d->attachment);
  if (d->head_held) hold_head(d, 0);
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

static void describe_client(struct downstream *d) {
  char text[ADDR_TEXT], line[ADDR_TEXT + 32];
  size_t length = addr_format_client((const struct sockaddr *)&d->client, d->client_length, text);
  d->client_text = (struct str){str_to_cstring((struct str){text, length}), length};
  struct str host = claims_address(addr_host_of_client(d->client_text));
  length = (size_t)snprintf(line, sizeof line, "X-Forwarded-For: %.*s", STR_ARG(host));
  d->client_line = (struct str){str_to_cstring((struct str){line, length}), length};
}

static void forget_client(struct downstream *d) {
  free((void *)d->client_text.ptr);
  free((void *)d->client_line.ptr);
  d->client_text = d->client_line = (struct str){0};
}

void downstream_set_client(struct downstream *d, const struct sockaddr_storage *client, socklen_t length) {
  CHECK(length <= sizeof d->client);
  forget_client(d);
  d->client = *client;
  d->client_length = length;
}

struct str downstream_client(struct downstream *d) {
  if (!d->client_text.ptr) describe_client(d);
  return d->client_text;
}

struct str downstream_client_line(struct downstream *d) {
  if (!d->client_text.ptr) describe_client(d);
  return d->client_line;
}

void downstream_close(struct downstream *d) { downstream_close_because(d, ERROR_CLIENT_GONE); }

/* The rest of an answer goes first. */
static void end_idle(struct downstream *d) {
  if (conn_has_unsent(&d->conn))
    downstream_linger(d);
  else
    downstream_close(d);
}

/* A request that has arrived is served, also where the loop has not told of it yet. */
static void close_idle(struct downstream *d) {
  if (d->state == DOWNSTREAM_IDLE && conn_is_ready(&d->conn))
    timer_set(&d->timer, LOOK_MS);
  else
    end_idle(d);
}

/* A client that was served a moment ago may have its next request on the way: it gets a moment to arrive, and
 * an answer that says that the connection closes. */
static void stop_idle(struct downstream *d, unsigned patience_ms) {
  uint64_t idle = d->state == DOWNSTREAM_IDLE ? timer_gone_ms(&d->timer) : 0, left = timer_left_ms(&d->timer);
  if (idle >= patience_ms)
    close_idle(d);
  else if (!left || left > patience_ms - idle)
    timer_set(&d->timer, patience_ms - idle);
}

void downstream_stop(struct downstream *d, unsigned patience_ms) {
  CHECK_OBJ(d, DOWNSTREAM_MAGIC);
  switch (d->state) {
  case DOWNSTREAM_PREFACE:
  case DOWNSTREAM_HANDSHAKE:
  case DOWNSTREAM_IDLE: stop_idle(d, patience_ms); break;
  case DOWNSTREAM_BUSY: exchange_hasten(d->exchange); break;
  case DOWNSTREAM_DRAIN:
  case DOWNSTREAM_LINGER: ending_hasten(d); break;
  case DOWNSTREAM_HEAD:
  case DOWNSTREAM_CLOSED: break;
  }
}

/* How long the next request may take to begin. The last one was not told to be the last. */
static unsigned idle_ms(const struct downstream *d, enum wait wait) {
  const struct proxy *proxy = d->proxy;
  const struct settings *settings = d->service->policy.settings;
  unsigned allowed = wait_ms(wait, settings), patience = wait_ms(WAIT_LAST, settings);
  if (!proxy->stopping && !d->service->closing) return allowed;
  if (proxy->stopping) patience = proxy->patience_ms;
  return patience < allowed ? patience : allowed;
}

void downstream_await(struct downstream *d) {
  if (d->half_closed && !buf_len(&d->in)) {
    downstream_linger(d);
    return;
  }
  d->state = DOWNSTREAM_IDLE;
  d->rest_until_ms = 0;
  conn_want_read(&d->conn, true);
  conn_feed_decrypted(&d->conn);
  timer_set(&d->timer, idle_ms(d, WAIT_NEXT));
  if (buf_len(&d->in))
    conn_feed(&d->conn);
  else
    buf_release(&d->in);
  room_freed(d->proxy);
}

void downstream_quieten(struct downstream *d) {
  timer_clear(&d->timer);
  conn_want_read(&d->conn, false);
  conn_want_write(&d->conn, false);
}

/* --- events --------------------------------------------------------------------------------------------- */

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
  else if (d->state == DOWNSTREAM_BUSY)
    exchange_downstream_writable(d->exchange);
  else if (d->state == DOWNSTREAM_LINGER)
    ending_writable(d);
  else
    conn_want_write(conn, false);
}

static void begin_exchange(struct downstream *d, size_t length, enum error error) {
  CHECK(d->state == DOWNSTREAM_IDLE || d->state == DOWNSTREAM_HEAD);
  d->state = DOWNSTREAM_BUSY;
  if (d->head_held) hold_head(d, 0);
  if (d->requests++ == 0) d->proxy->fresh_count--;
  struct received received = {
      .length = length, .skipped = d->scan.skipped, .line = d->scan.line, .error = error};
  if (error != ERROR_NONE) received.why = d->scan.why;
  d->scan = (struct head_scan){0};
  d->head_due_ms = 0;
  d->empty_bytes = 0;
  timer_clear(&d->timer);
  exchange_begin(d, &received);
}

static void on_due(struct timer *timer) {
  struct downstream *d = CONTAINER_OF(timer, struct downstream, timer);
  CHECK_OBJ(d, DOWNSTREAM_MAGIC);
  switch (d->state) {
  case DOWNSTREAM_HEAD: begin_exchange(d, 0, ERROR_REQUEST_TIMEOUT); break;
  case DOWNSTREAM_BUSY: exchange_downstream_due(d->exchange); break;
  case DOWNSTREAM_DRAIN:
  case DOWNSTREAM_LINGER: ending_due(d); break;
  case DOWNSTREAM_HANDSHAKE: greeting_due(d); break;
  case DOWNSTREAM_IDLE: close_idle(d); break;
  case DOWNSTREAM_PREFACE:
  case DOWNSTREAM_CLOSED: downstream_close(d); break;
  }
}

/* --- before a request ----------------------------------------------------------------------------------- */

void downstream_greeted(struct downstream *d) {
  d->state = DOWNSTREAM_IDLE;
  timer_set(&d->timer, idle_ms(d, WAIT_FIRST));
}

/* It keeps a part of a head, or none any more. */
static void hold_head(struct downstream *d, size_t bytes) {
  CHECK(d->proxy->heads_held >= d->head_held);
  d->proxy->heads_held += bytes - d->head_held;
  d->head_held = (unsigned)bytes;
}

void downstream_give_up_head(struct downstream *d) {
  d->scan.why = "too much memory is held by heads that are not whole";
  begin_exchange(d, 0, ERROR_REQUEST_TIMEOUT);
}

/* A part of a head is there: its deadline runs from its first byte and is not moved by further bytes, nor by empty
 * lines that seem to begin anew. */
static void expect_rest_of_head(struct downstream *d) {
  uint64_t now = loop_now_ms(d->proxy->loop);
  if (d->state == DOWNSTREAM_HEAD) return;
  d->state = DOWNSTREAM_HEAD;
  if (!d->head_due_ms) d->head_due_ms = now + wait_ms(WAIT_REQUEST_HEAD, d->service->policy.settings);
  timer_set(&d->timer, d->head_due_ms > now ? d->head_due_ms - now : 0);
}

/* Empty lines alone are no request that could be late or end early (RFC 9112 section 2.2). The timer runs on.
 */
static void skip_empty_lines(struct downstream *d) {
  d->state = DOWNSTREAM_IDLE;
  if (d->head_held) hold_head(d, 0);
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

/* True: an exchange has begun. */
static bool scan_head(struct downstream *d) {
  size_t length = 0;
  enum error error = ERROR_NONE;
  const struct parser_limits *limits = &d->service->policy.settings->head;
  if (!buf_len(&d->in)) return false;
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
  if (d->state == DOWNSTREAM_HEAD && d->in.cap != d->head_held) hold_head(d, d->in.cap);
  if (d->proxy->heads_held > 0) room_for_heads(d->proxy); /* the last thing here: it may be this one */
}

static void read_head(struct downstream *d) {
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
        end_idle(d);
      else
        downstream_close(d);
      return;
    }
    buf_commit(&d->in, moved);
    if (scan_head(d)) return;
  }
}
