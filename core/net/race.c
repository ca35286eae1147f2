// SPDX-License-Identifier: Apache-2.0
// race: a socket and a watcher for each attempt. A failure that is known at once is reported by the timer, so that
// there is no callback inside race_start.
#include "net/race.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include "base/check.h"
#include "net/descriptors.h"

static void on_delay(struct ev_loop *loop, ev_timer *timer, int events);
static void on_writable(struct ev_loop *loop, ev_io *watcher, int events);

bool race_is_local(int code, const struct addr *addr) {
  if (code == EAGAIN) return addr->kind == ADDR_IP; /* of a unix socket: the peer's queue is full */
  return descriptors_want(code) || (code == EADDRNOTAVAIL && addr->kind == ADDR_IP);
}

int race_code(const struct race *race) { return race->code ? race->code : race->local_code; }
bool race_failed_locally(const struct race *race) { return !race->code && race->local_code; }

/* --- runners ------------------------------------------------------------------------------------------- */

static int open_socket(const struct addr *addr) {
  int fd = socket(addr_family(addr), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
  if (fd >= 0 && addr->kind == ADDR_IP) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  return fd;
}

/* Takes the socket off: the caller's now. */
static int detach(struct runner *runner) {
  CHECK(runner->runs && runner->race->running > 0);
  ev_io_stop(runner->race->loop, &runner->watcher);
  runner->runs = false;
  runner->race->running--;
  return runner->watcher.fd;
}

static void end_loser(struct race *race, unsigned index) {
  if (race->runners[index].runs) close(detach(&race->runners[index]));
  if (race->on_lost) race->on_lost(race, index);
}

static void fail(struct race *race, unsigned index, int code) {
  if (race_is_local(code, &race->addresses[index])) {
    race->local_code = code;
    if (race->runners[index].runs) close(detach(&race->runners[index]));
    return;
  }
  race->code = code;
  end_loser(race, index);
}

static void set_delay(struct race *race, unsigned ms) {
  ev_timer_stop(race->loop, &race->delay);
  ev_timer_set(&race->delay, ms / 1000., 0.);
  ev_timer_start(race->loop, &race->delay);
}

/* Starts the next one, and the clock for the one behind it. */
static void start_next(struct race *race) {
  CHECK(race->started < race->count);
  unsigned index = race->started++;
  const struct addr *addr = &race->addresses[index];
  struct runner *runner = &race->runners[index];
  int fd = open_socket(addr);
  bool runs = fd >= 0 && (connect(fd, &addr->socket.any, addr->length) == 0 || errno == EINPROGRESS);
  int code = errno;
  if (runs) {
    runner->race = race;
    runner->runs = true;
    race->running++;
    ev_io_init(&runner->watcher, on_writable, fd, EV_WRITE);
    runner->watcher.data = runner;
    ev_io_start(race->loop, &runner->watcher);
    if (race->started < race->count) set_delay(race, race->delay_ms);
    return;
  }
  if (fd >= 0) close(fd);
  fail(race, index, code);
  set_delay(race, 0);
}

/* --- the race ------------------------------------------------------------------------------------------ */

void race_start(struct race *race, struct ev_loop *loop, const struct addr *addresses, unsigned count,
                unsigned patience_ms) {
  race->loop = loop;
  race->addresses = addresses;
  race->count = count < RACE_MOST ? count : RACE_MOST;
  unsigned share_ms = patience_ms / (2 * race->count);
  race->delay_ms = share_ms < RACE_DELAY_MS ? share_ms : RACE_DELAY_MS;
  race->started = race->running = 0;
  race->code = race->local_code = 0;
  ev_timer_init(&race->delay, on_delay, 0., 0.);
  ev_set_priority(&race->delay, EV_MINPRI); /* what has happened at the sockets goes first */
  race->delay.data = race;
  start_next(race);
}

bool race_go_on(struct race *race) {
  if (race->started == race->count) return false;
  start_next(race);
  return true;
}

static void close_all(struct race *race) {
  for (unsigned i = 0; i < race->started; i++)
    if (race->runners[i].runs) close(detach(&race->runners[i]));
}

void race_stop(struct race *race) {
  if (!race->loop) return;
  ev_timer_stop(race->loop, &race->delay);
  close_all(race);
}

static void win(struct race *race, unsigned index) {
  int fd = detach(&race->runners[index]);
  ev_timer_stop(race->loop, &race->delay);
  for (unsigned i = 0; i < race->started; i++)
    if (race->runners[i].runs) end_loser(race, i);
  CHECK(race->running == 0);
  race->on_end(race, fd, index);
}

/* One has failed: the next one need not wait for the clock. */
static void go_on(struct race *race) {
  if (race->started < race->count)
    start_next(race);
  else if (race->running == 0)
    race->on_end(race, -1, 0);
}

static void on_delay(struct ev_loop *loop, ev_timer *timer, int events) {
  (void)loop, (void)events;
  go_on(timer->data);
}

/* `code`: what is known without asking; 0: nothing. */
static void finish(struct race *race, unsigned index, int code) {
  socklen_t length = sizeof code;
  if (!code && getsockopt(race->runners[index].watcher.fd, SOL_SOCKET, SO_ERROR, &code, &length) < 0)
    code = errno;
  if (!code) {
    win(race, index);
    return;
  }
  fail(race, index, code);
  go_on(race);
}

static void on_writable(struct ev_loop *loop, ev_io *watcher, int events) {
  struct runner *runner = watcher->data;
  struct race *race = runner->race;
  (void)loop;
  CHECK(runner->runs && runner >= race->runners && runner < race->runners + race->started);
  /* Where the kernel had no memory to watch it, nothing is known of the connection. */
  finish(race, (unsigned)(runner - race->runners), events & EV_ERROR ? ENOMEM : 0);
}
