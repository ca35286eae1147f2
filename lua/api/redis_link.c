// SPDX-License-Identifier: Apache-2.0
// redis_link: the connection of a link, and its breaker. The hard problem is to notice soon that a server works
// again, without delaying commands meanwhile: so the link itself tries, and waits for earlier replies, while commands
// fail at once.
#include <stdio.h>
#include <stdlib.h>

#include "base/container.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/random.h"
#include "lua/api/redis.h"
#include "lua/vm/vm.h"
#include "net/tls_context.h"
#include "exchange/proxy.h"
#include "exchange/room.h"

enum { READ_BYTES = 16384, READS_MOST = 16, RENEW_MS = 1000, FORGET_MS = 60000, LOOK_AGAIN_MS = 10 };

static void on_readable(struct conn *conn);
static void on_writable(struct conn *conn);
static void on_pace(struct timer *timer);
static void on_soon(struct timer *timer);
static void lose(struct redis_link *l, const char *why);

static const struct conn_events events = {on_readable, on_writable};

/* --- life ----------------------------------------------------------------------------------------------- */

struct redis_link *redis_link_new(struct vm *vm, const struct redis_options *options) {
  struct redis_link *l = memory_zalloc(sizeof *l);
  l->vm = vm;
  l->conn.fd = -1;
  l->options = *options;
  l->options.sni = l->options.verify_name = l->options.ca = (struct str){0};
  l->random = loop_now_us(vm->host.loop) ^ (uint64_t)(uintptr_t)l;
  list_init(&l->queue.commands);
  list_init(&l->queue.failing);
  list_init(&l->queue.spare);
  timer_init(&l->pace, vm->host.loop, on_pace);
  timer_init(&l->soon, vm->host.loop, on_soon);
  OBJ_INIT(l, REDIS_LINK_MAGIC);
  return l;
}

static void free_link(struct reaped *reaped) {
  struct redis_link *l = CONTAINER_OF(reaped, struct redis_link, reaped);
  OBJ_END(l, REDIS_LINK_MAGIC);
  arena_free(&l->arena);
  free(l);
}

void redis_link_free(struct redis_link *l) {
  CHECK_OBJ(l, REDIS_LINK_MAGIC);
  l->is_ended = true;
  if (l->state == REDIS_CONNECTING) connect_cancel(&l->connect);
  if (l->health.is_tripped) metric_add(l->down, -1);
  redis_queue_free(l);
  conn_close(&l->conn);
  timer_stop(&l->pace);
  timer_stop(&l->soon);
  tls_context_release(l->tls);
  reaper_add(&l->vm->host.proxy->reaper, &l->reaped, free_link);
}

/* --- faults and the breaker ----------------------------------------------------------------------------- */

static uint64_t now_ms(const struct redis_link *l) { return loop_now_ms(l->vm->host.loop); }

void redis_link_fault(struct redis_link *l, unsigned kind, const char *text) {
  uint64_t *logged_ms = &l->health.faults[kind].logged_ms;
  unsigned *more = &l->health.faults[kind].more;
  if (*logged_ms && now_ms(l) - *logged_ms < REDIS_FAULT_MS) {
    ++*more;
    return;
  }
  if (*more)
    log_about(LOG_WARN, l->name, "redis %.*s: %s (and %u more before)", STR_ARG(l->name), text, *more);
  else
    log_about(LOG_WARN, l->name, "redis %.*s: %s", STR_ARG(l->name), text);
  *logged_ms = now_ms(l);
  *more = 0;
}

static void note(struct redis_link *l, const char *why) {
  if (why != l->why) snprintf(l->why, sizeof l->why, "%s", why);
}

static void trip(struct redis_link *l) {
  struct redis_health *h = &l->health;
  if (h->is_tripped) return;
  h->is_tripped = true;
  h->heard = false;
  h->tripped_ms = now_ms(l);
  h->pause_ms = l->options.retry_ms;
  metric_add(l->down, 1);
  log_about(LOG_WARN, l->name, "redis %.*s is down: %s", STR_ARG(l->name), l->why);
}

static void reset(struct redis_link *l) {
  l->health.failures = 0;
  if (l->health.is_tripped) metric_add(l->down, -1);
  l->health.is_tripped = false;
}

void redis_link_well(struct redis_link *l) {
  struct redis_health *h = &l->health;
  bool was_tripped = h->is_tripped;
  reset(l);
  if (!was_tripped) return;
  timer_clear(&l->pace);
  log_about(LOG_INFO, l->name, "redis %.*s answers again, after %.1f s", STR_ARG(l->name),
            (double)(now_ms(l) - h->tripped_ms) / 1000);
}

/* Between half of it and the whole, so that workers and machines do not come at once; the next is twice as long. */
static uint64_t next_pause(struct redis_link *l) {
  unsigned pause_ms = l->health.pause_ms, doubled = pause_ms * 2;
  l->health.pause_ms = doubled < l->options.retry_most_ms ? doubled : l->options.retry_most_ms;
  return pause_ms - random_below(&l->random, pause_ms / 2 + 1);
}

void redis_link_missed(struct redis_link *l) {
  struct redis_health *h = &l->health;
  if (redis_link_is_short(l) || ++h->failures < l->options.failures || h->is_tripped) return;
  note(l, "no reply in time");
  trip(l);
  if (l->state == REDIS_READY) timer_set(&l->pace, next_pause(l));
}

/* --- connecting ----------------------------------------------------------------------------------------- */

static void hang_up(struct redis_link *l) {
  l->session++;
  l->is_broken = false;
  l->health.is_stale = false;
  conn_close(&l->conn);
  buf_release(&l->in);
  l->scan = (struct resp_scan){0};
  timer_clear(&l->pace);
  timer_clear(&l->soon);
}

/* There is no connection, nor will there be one soon. */
static void pause_after(struct redis_link *l, const char *why) {
  note(l, why);
  hang_up(l);
  l->health.short_until_ms = 0;
  trip(l);
  l->state = REDIS_PAUSED;
  timer_set(&l->pace, next_pause(l));
  redis_queue_fail(l);
}

bool redis_link_is_short(const struct redis_link *l) { return l->health.short_until_ms > 0; }

/* What is lacking here may be there in a moment. */
static void wait_for_room(struct redis_link *l, const char *what) {
  struct redis_health *h = &l->health;
  char why[sizeof l->why];
  snprintf(why, sizeof why, "no connection, as this machine lacks something: %s", what);
  note(l, why);
  hang_up(l);
  l->state = REDIS_PAUSED;
  timer_set(&l->pace, LOOK_AGAIN_MS);
  if (!h->short_until_ms) h->short_until_ms = now_ms(l) + l->options.connect_ms;
  if (now_ms(l) < h->short_until_ms || !l->queue.count) return;
  redis_link_fault(l, REDIS_DOWN, l->why);
  redis_queue_fail(l);
}

static void on_connected(struct connect *connect, enum error error) {
  struct redis_link *l = CONTAINER_OF(connect, struct redis_link, connect);
  CHECK_OBJ(l, REDIS_LINK_MAGIC);
  const char *why = connect->why[0] ? connect->why : error_info(error)->text;
  if (error == ERROR_LOCAL_SHORTAGE) room_make(l->vm->host.proxy);
  if (error == ERROR_LOCAL_SHORTAGE || error == ERROR_NO_PORT) {
    wait_for_room(l, why);
    return;
  }
  if (error != ERROR_NONE) {
    pause_after(l, why);
    return;
  }
  conn_adopt(&l->conn, &events, l);
  conn_want_read(&l->conn, true);
  metric_add(l->connects, 1);
  l->state = REDIS_GREETING;
  l->greeting_left = l->greeting_replies;
  bool waits_longer = l->health.is_tripped && l->health.pause_ms > l->options.connect_ms;
  timer_set(&l->pace, waits_longer ? l->health.pause_ms : l->options.connect_ms);
  buf_append_str(&l->queue.out, l->greeting);
  redis_link_send(l);
}

static void start(struct redis_link *l) {
  if (l->tls) l->tls = tls_context_newest(l->tls);
  struct connect_options options = {.addr = &l->addr,
                                    .family = l->options.family,
                                    .tls = l->tls,
                                    .sni = l->options.sni,
                                    .verify_name = l->options.verify_name,
                                    .connect_timeout_ms = l->options.connect_ms,
                                    .handshake_timeout_ms = l->options.connect_ms};
  l->state = REDIS_CONNECTING;
  connect_start(&l->connect, &l->conn, l->vm->host.loop, l->vm->host.proxy->resolver, &options, on_connected);
}

bool redis_link_wanted(struct redis_link *l) {
  l->health.asked_ms = now_ms(l);
  if (l->state == REDIS_IDLE) start(l);
  return !l->health.is_tripped;
}

static void become_ready(struct redis_link *l) {
  timer_clear(&l->pace);
  l->state = REDIS_READY;
  l->health.short_until_ms = 0;
  redis_link_well(l);
  redis_queue_release(l);
}

void redis_link_greeted(struct redis_link *l, struct str reply) {
  char text[160];
  if (reply.ptr[0] == '-') {
    snprintf(text, sizeof text, "%.*s", (int)str_find(reply, '\r') - 1, reply.ptr + 1);
    pause_after(l, text);
  } else if (--l->greeting_left == 0) {
    become_ready(l);
  }
}

/* --- losing --------------------------------------------------------------------------------------------- */

/* A connection that was ready has ended. One that nobody used just ends: servers close what is idle. */
static void lose(struct redis_link *l, const char *why) {
  struct redis_health *h = &l->health;
  bool was_used = l->queue.count > 0, is_ours = conn_is_short(&l->conn);
  if (l->state != REDIS_READY && is_ours) {
    wait_for_room(l, why);
    return;
  }
  if (l->state != REDIS_READY) {
    pause_after(l, why);
    return;
  }
  if (was_used) redis_link_fault(l, REDIS_CLOSED, why);
  if (h->is_tripped || (was_used && !is_ours && ++h->failures >= l->options.failures)) {
    pause_after(l, why);
    return;
  }
  note(l, why);
  hang_up(l);
  l->state = REDIS_IDLE;
  redis_queue_fail(l);
}

void redis_link_fail(struct redis_link *l, const char *why) { pause_after(l, why); }

/* A stale link is connected again when nothing of it is under way: what is held goes to the new connection. */
static void renew(struct redis_link *l) {
  hang_up(l);
  l->health.renewed_ms = now_ms(l);
  start(l);
}

void redis_link_quiet(struct redis_link *l) {
  struct redis_health *h = &l->health;
  if (l->state != REDIS_READY) return;
  if (h->is_stale && now_ms(l) - h->renewed_ms >= RENEW_MS) {
    renew(l);
  } else if (h->is_stale) { /* the one that it led to is no better */
    h->is_stale = false;
    redis_queue_release(l);
  } else if (h->is_tripped) {
    redis_queue_probe(l);
  }
}

/* The greeting has taken too long; or a pause is over; or a tripped link, still connected, is due for a look. */
static void on_pace(struct timer *timer) {
  struct redis_link *l = CONTAINER_OF(timer, struct redis_link, pace);
  CHECK_OBJ(l, REDIS_LINK_MAGIC);
  if (l->state == REDIS_GREETING) {
    pause_after(l, "the server takes connections, and does not answer");
  } else if (l->state == REDIS_PAUSED && (l->queue.count || now_ms(l) - l->health.asked_ms < FORGET_MS)) {
    start(l);
  } else if (l->state == REDIS_PAUSED) {
    reset(l);
    l->health.short_until_ms = 0;
    l->state = REDIS_IDLE;
  } else if (l->state == REDIS_READY && l->health.heard) {
    l->health.heard = false;
    timer_set(&l->pace, next_pause(l));
    if (l->queue.sent == 0) redis_queue_probe(l);
  } else if (l->state == REDIS_READY) {
    note(l, "no reply in time");
    hang_up(l);
    start(l);
    redis_queue_fail(l);
  }
}

/* --- bytes ---------------------------------------------------------------------------------------------- */

static void flush(struct redis_link *l) {
  struct buf *out = &l->queue.out;
  enum io result = l->is_broken ? IO_OK : conn_write_all(&l->conn, out);
  if (result == IO_ERROR) { /* told in the loop: this may run while a task does */
    note(l, conn_error(&l->conn));
    l->is_broken = true;
    timer_set(&l->soon, 0);
  }
  bool is_left = buf_len(out) > 0 && !l->is_broken;
  if (!is_left) buf_release(out);
  conn_want_write(&l->conn, is_left);
}

/* Alone it goes at once; with others under way it waits for those of the same turn. */
void redis_link_send(struct redis_link *l) {
  if (l->conn.wants_write || l->is_broken || timer_is_set(&l->soon)) return;
  if (l->queue.sent <= 1)
    flush(l);
  else
    timer_set(&l->soon, 0);
}

static void on_soon(struct timer *timer) {
  struct redis_link *l = CONTAINER_OF(timer, struct redis_link, soon);
  CHECK_OBJ(l, REDIS_LINK_MAGIC);
  if (l->is_broken)
    lose(l, l->why);
  else
    flush(l);
}

static void on_writable(struct conn *conn) {
  struct redis_link *l = conn->owner;
  CHECK_OBJ(l, REDIS_LINK_MAGIC);
  flush(l);
}

/* False: the connection has ended, or there is no more for now. */
static bool read_some(struct redis_link *l) {
  size_t moved = 0;
  buf_reserve(&l->in, READ_BYTES);
  size_t room = buf_space(&l->in);
  switch (conn_read(&l->conn, buf_tail(&l->in), room, &moved)) {
  case IO_OK: break;
  case IO_AGAIN:
    if (buf_len(&l->in) == 0) buf_release(&l->in);
    return false;
  case IO_EOF: lose(l, "closed by the server"); return false;
  case IO_ERROR: lose(l, conn_error(&l->conn)); return false;
  }
  buf_commit(&l->in, moved);
  return redis_queue_take(l) && (moved == room || !conn_is_plain(&l->conn));
}

static void on_readable(struct conn *conn) {
  struct redis_link *l = conn->owner;
  CHECK_OBJ(l, REDIS_LINK_MAGIC);
  int reads = 0;
  while (read_some(l))
    if (++reads == READS_MOST) {
      conn_feed(&l->conn);
      return;
    }
}
