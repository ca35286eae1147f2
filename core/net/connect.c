// SPDX-License-Identifier: Apache-2.0
// connect: the states RESOLVING, CONNECTING, HANDSHAKE in order. If a handshake fails, the next address of the name
// is tried (back to CONNECTING), unless it failed because of the certificate, which is a question of trust, or took
// too long. All results are reported from the loop. The resolver is told which addresses worked.
#include "net/connect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/container.h"
#include "net/virtual_time.h"
#include "base/memory.h"
#include "net/descriptors.h"
#include "net/tls.h"

static void on_event(struct conn *conn);
static void on_due(struct timer *timer);
static void on_resolved(void *owner, const struct resolver_answer *answer);
static void on_race_end(struct race *race, int fd, unsigned winner);
static void on_lost(struct race *race, unsigned index);

static const struct conn_events events = {on_event, on_event};

static void release(struct connect *c) {
  timer_stop(&c->timer);
  race_stop(&c->race);
  free(c->addresses);
  c->addresses = NULL;
  c->state = CONNECT_ENDED;
}

static void end(struct connect *c, enum error error) {
  CHECK_OBJ(c, CONNECT_MAGIC);
  CHECK(c->state != CONNECT_ENDED && !c->query);
  release(c);
  if (error != ERROR_NONE) {
    conn_close(c->conn);
  } else {
    conn_want_read(c->conn, false);
    conn_want_write(c->conn, false);
  }
  c->on_done(c, error);
}

static void because(struct connect *c, const char *why) { snprintf(c->why, sizeof c->why, "%s", why); }

static void start_race(struct connect *c, const struct addr *addresses, unsigned count) {
  c->state = CONNECT_CONNECTING;
  c->race.on_end = on_race_end;
  c->race.on_lost = on_lost;
  race_start(&c->race, c->conn->loop, addresses, count, c->options.connect_timeout_ms);
}

void connect_start(struct connect *c, struct conn *conn, struct ev_loop *loop, struct resolver *resolver,
                   const struct connect_options *options,
                   void (*on_done)(struct connect *c, enum error error)) {
  *c = (struct connect){.options = *options, .conn = conn, .resolver = resolver, .on_done = on_done};
  OBJ_INIT(c, CONNECT_MAGIC);
  conn_init(conn, loop, -1, &events, c);
  timer_init_patient(&c->timer, loop, on_due);
  timer_set(&c->timer, options->connect_timeout_ms);
  c->connect_by_ms = loop_now_ms(loop) + options->connect_timeout_ms;
  if (virtual_time.is_replay) { /* it fails from the loop, as ever */
    virtual_time.refused++;
    c->state = CONNECT_CONNECTING;
    timer_set(&c->timer, 0);
    return;
  }
  if (options->addr->kind != ADDR_NAME) {
    start_race(c, options->addr, 1);
    return;
  }
  c->state = CONNECT_RESOLVING;
  struct resolver_question question = {
      .host = options->addr->host, .port = options->addr->port, .family = options->family};
  c->query = resolver_lookup(resolver, &question, on_resolved, c);
}

static void on_resolved(void *owner, const struct resolver_answer *answer) {
  struct connect *c = owner;
  CHECK_OBJ(c, CONNECT_MAGIC);
  CHECK(c->state == CONNECT_RESOLVING);
  c->query = NULL;
  if (answer->count == 0) {
    because(c, answer->why);
    end(c, answer->is_local ? ERROR_LOCAL_SHORTAGE : ERROR_RESOLVE_FAILED);
    return;
  }
  unsigned count = answer->count < RACE_MOST ? answer->count : RACE_MOST;
  c->addresses = memory_alloc(count * sizeof *c->addresses);
  memcpy(c->addresses, answer->addresses, count * sizeof *c->addresses);
  start_race(c, c->addresses, count);
}

/* --- addresses ----------------------------------------------------------------------------------------- */

static void note(struct connect *c, unsigned index, bool works) {
  if (c->addresses) resolver_note(c->resolver, c->options.addr->host, &c->addresses[index], works);
}

static void on_lost(struct race *race, unsigned index) {
  note(CONTAINER_OF(race, struct connect, race), index, false);
}

/* A fault of this machine is told only if no address failed through the peer's fault. */
static enum error error_of(const struct connect *c) {
  int code = race_code(&c->race);
  if (race_failed_locally(&c->race)) return descriptors_want(code) ? ERROR_LOCAL_SHORTAGE : ERROR_NO_PORT;
  if (code == ECONNREFUSED || code == ENOENT) return ERROR_CONNECT_REFUSED;
  if (code == ETIMEDOUT) return ERROR_CONNECT_TIMEOUT;
  return ERROR_CONNECT_FAILED;
}

/* The log has the address; many names may be behind it. */
static void because_of_tls(struct connect *c, const char *why) {
  struct str name = c->options.sni;
  if (name.len)
    snprintf(c->why, sizeof c->why, "%.*s: %s", STR_ARG(name), why);
  else
    because(c, why);
}

/* The connected address is of no use: the next one of the name has its turn, in what is left of the time. */
static void give_up_address(struct connect *c, enum error error) {
  uint64_t now_ms = loop_now_ms(c->conn->loop);
  note(c, c->address, false);
  if (now_ms >= c->connect_by_ms || c->race.started == c->race.count) {
    end(c, error);
    return;
  }
  conn_close(c->conn);
  conn_init(c->conn, c->conn->loop, -1, &events, c);
  c->state = CONNECT_CONNECTING;
  timer_set(&c->timer, c->connect_by_ms - now_ms);
  race_go_on(&c->race);
}

static void handshake(struct connect *c) {
  switch (tls_handshake(c->conn)) {
  case IO_OK:
    note(c, c->address, true);
    end(c, ERROR_NONE);
    return;
  case IO_AGAIN: return;
  case IO_EOF:
  case IO_ERROR: break;
  }
  because_of_tls(c, tls_failure(c->conn));
  if (conn_is_short(c->conn))
    end(c, ERROR_LOCAL_SHORTAGE);
  else if (tls_failed_verification(c->conn))
    end(c, ERROR_CERTIFICATE);
  else
    give_up_address(c, ERROR_TLS_FAILED);
}

/* A fresh socket takes a few hundred bytes at once. */
static bool send_preface(struct connect *c) {
  struct iovec part = {(void *)c->options.preface.ptr, c->options.preface.len};
  size_t moved = 0;
  if (!part.iov_len) return true;
  return conn_write(c->conn, &part, 1, &moved) == IO_OK && moved == part.iov_len;
}

static void preface_failed(struct connect *c) {
  bool is_ours = conn_is_short(c->conn);
  because(c, strerror(is_ours ? c->conn->error : EPIPE));
  if (is_ours)
    end(c, ERROR_LOCAL_SHORTAGE);
  else
    give_up_address(c, ERROR_CONNECT_FAILED);
}

static void on_connected(struct connect *c) {
  if (!send_preface(c)) {
    preface_failed(c);
    return;
  }
  if (!c->options.tls) {
    note(c, c->address, true);
    end(c, ERROR_NONE);
    return;
  }
  c->state = CONNECT_HANDSHAKE;
  timer_set(&c->timer, c->options.handshake_timeout_ms);
  tls_client(c->conn, c->options.tls, c->options.sni, c->options.verify_name, c->options.resumption);
  if (c->options.identity) tls_use_identity(c->conn, c->options.identity);
  handshake(c);
}

static void on_race_end(struct race *race, int fd, unsigned winner) {
  struct connect *c = CONTAINER_OF(race, struct connect, race);
  CHECK_OBJ(c, CONNECT_MAGIC);
  CHECK(c->state == CONNECT_CONNECTING);
  if (fd < 0) {
    because(c, strerror(race_code(race)));
    end(c, error_of(c));
    return;
  }
  c->address = winner;
  conn_init(c->conn, c->conn->loop, fd, &events, c);
  on_connected(c);
}

/* --- the loop ------------------------------------------------------------------------------------------ */

static void on_event(struct conn *conn) {
  struct connect *c = conn->owner;
  CHECK_OBJ(c, CONNECT_MAGIC);
  CHECK(c->state == CONNECT_HANDSHAKE);
  handshake(c);
}

static void on_due(struct timer *timer) {
  struct connect *c = CONTAINER_OF(timer, struct connect, timer);
  CHECK_OBJ(c, CONNECT_MAGIC);
  if (c->query) resolver_cancel(c->query);
  c->query = NULL;
  if (c->state == CONNECT_HANDSHAKE) {
    note(c, c->address, false);
    because_of_tls(c, "TLS handshake timed out");
    end(c, ERROR_TLS_TIMEOUT);
    return;
  }
  for (unsigned i = 0; c->addresses && i < c->race.started; i++) note(c, i, false);
  because(c, c->state == CONNECT_RESOLVING ? "name lookup timed out" : "timed out");
  end(c, ERROR_CONNECT_TIMEOUT);
}

void connect_cancel(struct connect *c) {
  if (c->state == CONNECT_IDLE || c->state == CONNECT_ENDED) return;
  CHECK_OBJ(c, CONNECT_MAGIC);
  if (c->query) resolver_cancel(c->query);
  c->query = NULL;
  release(c);
  conn_close(c->conn);
}
