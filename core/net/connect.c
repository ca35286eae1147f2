// SPDX-License-Identifier: Apache-2.0
// connect: the states RESOLVING, CONNECTING, HANDSHAKE in order, changed in `enter` only. An address that
// fails makes way for the next one of the same name. All endings are reported from the loop: a failure that
// is known at once is kept until the timer fires with no delay.
#include "net/connect.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

#include "net/descriptors.h"
#include "net/resolver.h"
#include "net/tls.h"

static void try_next(struct connect *c);
static void on_event(struct conn *conn);
static void on_due(struct timer *timer);
static void on_resolved(void *owner, const struct resolver_answer *answer);

static const struct conn_events events = {on_event, on_event};

static void end(struct connect *c, enum error error) {
  timer_stop(&c->timer);
  c->state = CONNECT_ENDED;
  if (error != ERROR_NONE) {
    conn_close(c->conn);
  } else {
    conn_want_read(c->conn, false);
    conn_want_write(c->conn, false);
  }
  c->on_done(c, error);
}

static void because(struct connect *c, const char *why) { snprintf(c->why, sizeof c->why, "%s", why); }

void connect_start(struct connect *c, struct conn *conn, struct ev_loop *loop, struct resolver *resolver,
                   const struct connect_options *options,
                   void (*on_done)(struct connect *c, enum error error)) {
  *c = (struct connect){.options = *options, .conn = conn, .resolver = resolver, .on_done = on_done};
  conn_init(conn, loop, -1, &events, c);
  timer_init_patient(&c->timer, loop, on_due);
  timer_set(&c->timer, options->connect_timeout_ms);
  if (options->addr->kind == ADDR_NAME) {
    c->state = CONNECT_RESOLVING;
    c->query = resolver_lookup(resolver, options->addr->host, options->addr->port, on_resolved, c);
    return;
  }
  c->addresses[0] = *options->addr;
  c->count = 1;
  try_next(c);
}

static void on_resolved(void *owner, const struct resolver_answer *answer) {
  struct connect *c = owner;
  c->query = NULL;
  if (answer->count == 0) {
    because(c, answer->why);
    end(c, ERROR_RESOLVE_FAILED);
    return;
  }
  const unsigned most = sizeof c->addresses / sizeof *c->addresses;
  for (c->count = 0; c->count < answer->count && c->count < most; c->count++)
    c->addresses[c->count] = answer->addresses[c->count];
  try_next(c);
}

/* No port is left for this destination: so says connect(2) of an address that is not bound. */
static bool wants_port(const struct connect *c, int code) {
  bool is_ip = c->addresses[c->next - 1].kind == ADDR_IP;
  return is_ip && (code == EADDRNOTAVAIL || code == EAGAIN);
}

static enum error local_error(const struct connect *c, int code) {
  if (descriptors_want(code)) return ERROR_LOCAL_SHORTAGE;
  return wants_port(c, code) ? ERROR_NO_PORT : ERROR_NONE;
}

/* Of the last address: what is wrong here is said only if no address failed for a fault of the peer's. */
static enum error error_of(const struct connect *c, int code) {
  enum error local = local_error(c, code);
  if (local != ERROR_NONE) return c->tried_remote ? ERROR_CONNECT_FAILED : local;
  if (code == ECONNREFUSED || code == ENOENT) return ERROR_CONNECT_REFUSED;
  if (code == ETIMEDOUT) return ERROR_CONNECT_TIMEOUT;
  return ERROR_CONNECT_FAILED;
}

static int open_socket(const struct addr *addr) {
  int fd = socket(addr_family(addr), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
  if (fd >= 0 && addr->kind == ADDR_IP) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

/* Starts with the next address. A failure is left to be found by the event that follows, so this never calls
 * back: without a socket to ask, the timer is due at once. */
static void try_next(struct connect *c) {
  const struct addr *addr = &c->addresses[c->next++];
  struct ev_loop *loop = c->conn->loop;
  c->state = CONNECT_CONNECTING;
  int fd = open_socket(addr);
  if (fd >= 0) {
    conn_init(c->conn, loop, fd, &events, c);
    if (connect(fd, &addr->socket.any, addr->length) == 0 || errno == EINPROGRESS) {
      conn_want_write(c->conn, true);
      return;
    }
  }
  c->conn->error = errno;
  because(c, strerror(errno));
  timer_set(&c->timer, 0);
}

static void fail_address(struct connect *c, int code) {
  because(c, strerror(code));
  if (local_error(c, code) == ERROR_NONE) c->tried_remote = true;
  conn_close(c->conn);
  if (c->next < c->count)
    try_next(c);
  else
    end(c, error_of(c, code));
}

/* The log has the address; many names may be behind it. */
static void because_of_tls(struct connect *c, const char *why) {
  struct str name = c->options.sni;
  if (name.len)
    snprintf(c->why, sizeof c->why, "%.*s: %s", STR_ARG(name), why);
  else
    because(c, why);
}

static void handshake(struct connect *c) {
  switch (tls_handshake(c->conn)) {
  case IO_OK: end(c, ERROR_NONE); return;
  case IO_AGAIN: return;
  case IO_EOF:
  case IO_ERROR: break;
  }
  because_of_tls(c, tls_failure(c->conn));
  end(c, tls_failed_verification(c->conn) ? ERROR_CERTIFICATE : ERROR_TLS_FAILED);
}

/* A fresh socket takes a few hundred bytes at once. */
static bool send_preface(struct connect *c) {
  struct iovec part = {(void *)c->options.preface.ptr, c->options.preface.len};
  size_t moved = 0;
  if (!part.iov_len) return true;
  return conn_write(c->conn, &part, 1, &moved) == IO_OK && moved == part.iov_len;
}

static void on_connected(struct connect *c) {
  int code = 0;
  socklen_t length = sizeof code;
  if (getsockopt(c->conn->fd, SOL_SOCKET, SO_ERROR, &code, &length) < 0) code = errno;
  if (code) {
    fail_address(c, code);
    return;
  }
  conn_want_write(c->conn, false);
  if (!send_preface(c)) {
    fail_address(c, EPIPE);
    return;
  }
  if (!c->options.tls) {
    end(c, ERROR_NONE);
    return;
  }
  c->state = CONNECT_HANDSHAKE;
  timer_set(&c->timer, c->options.handshake_timeout_ms);
  tls_client(c->conn, c->options.tls, c->options.sni, c->options.verify_name, c->options.resumption);
  handshake(c);
}

static void on_event(struct conn *conn) {
  struct connect *c = conn->owner;
  switch (c->state) {
  case CONNECT_CONNECTING: on_connected(c); break;
  case CONNECT_HANDSHAKE: handshake(c); break;
  case CONNECT_IDLE:
  case CONNECT_RESOLVING:
  case CONNECT_ENDED: break;
  }
}

static void on_due(struct timer *timer) {
  struct connect *c = (struct connect *)((char *)timer - offsetof(struct connect, timer));
  if (c->query) resolver_cancel(c->query);
  c->query = NULL;
  if (c->state == CONNECT_CONNECTING && c->conn->error) {
    int code = c->conn->error;
    c->conn->error = 0;
    timer_set(&c->timer, c->options.connect_timeout_ms);
    fail_address(c, code);
    return;
  }
  if (c->state == CONNECT_HANDSHAKE) {
    because_of_tls(c, "TLS handshake timed out");
    end(c, ERROR_TLS_TIMEOUT);
    return;
  }
  because(c, c->state == CONNECT_RESOLVING ? "name lookup timed out" : "timed out");
  end(c, ERROR_CONNECT_TIMEOUT);
}

void connect_cancel(struct connect *c) {
  if (c->state == CONNECT_IDLE || c->state == CONNECT_ENDED) return;
  if (c->query) resolver_cancel(c->query);
  c->query = NULL;
  timer_stop(&c->timer);
  c->state = CONNECT_ENDED;
  conn_close(c->conn);
}
