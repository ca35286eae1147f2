// SPDX-License-Identifier: Apache-2.0
// Units for net/race, with listeners on the loopback: one that takes connections, one whose queue is full, so that its
// kernel drops what knocks, and a port where nobody listens.
#include "net/race.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "unit.h"

enum { FILLERS = 4 };

struct bench {
  struct race race;
  struct ev_loop *loop;
  int listeners[2], fillers[FILLERS];
  struct addr addresses[RACE_MOST];
  struct addr order[2]; /* of the race, which borrows it */
  unsigned ends, winner, lost;
  int fd;
  double begun;
  unsigned patience_ms;
};

static void on_end(struct race *race, int fd, unsigned winner) {
  struct bench *b = (struct bench *)race;
  b->ends++;
  b->fd = fd;
  b->winner = winner;
  ev_break(b->loop, EVBREAK_ALL);
}

static void on_lost(struct race *race, unsigned index) { ((struct bench *)race)->lost |= 1u << index; }

static int listen_at(struct addr *addr, int backlog) {
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof here;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(fd, (struct sockaddr *)&here, length) != 0 ||
      getsockname(fd, (struct sockaddr *)&here, &length) != 0)
    abort();
  if (backlog >= 0 && listen(fd, backlog) != 0) abort();
  addr_from_socket(addr, (struct sockaddr *)&here, length);
  return fd;
}

/* addresses: 0 silent, 1 good, 2 refused */
static void bench_open(struct bench *b) {
  *b = (struct bench){.fd = -1, .patience_ms = 5000};
  b->loop = ev_loop_new(0);
  b->listeners[0] = listen_at(&b->addresses[0], 0);
  b->listeners[1] = listen_at(&b->addresses[1], 16);
  close(listen_at(&b->addresses[2], -1));
  for (int i = 0; i < FILLERS; i++) {
    b->fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    (void)!connect(b->fillers[i], &b->addresses[0].socket.any, b->addresses[0].length);
  }
  b->race.on_end = on_end;
  b->race.on_lost = on_lost;
}

static void bench_close(struct bench *b) {
  race_stop(&b->race);
  for (int i = 0; i < FILLERS; i++) close(b->fillers[i]);
  for (int i = 0; i < 2; i++) close(b->listeners[i]);
  if (b->fd >= 0) close(b->fd);
  ev_loop_destroy(b->loop);
}

/* In seconds. */
static double run(struct bench *b, unsigned first, unsigned second, unsigned count) {
  b->order[0] = b->addresses[first];
  b->order[1] = b->addresses[second];
  ev_now_update(b->loop);
  b->begun = ev_now(b->loop);
  race_start(&b->race, b->loop, b->order, count, b->patience_ms);
  CHECK(b->ends == 0);
  ev_run(b->loop, 0);
  CHECK(b->ends == 1);
  return ev_now(b->loop) - b->begun;
}

/* With a new bench each time, until it took less than `most_s`: a busy machine may take longer now and then. */
static double run_within(struct bench *b, unsigned patience_ms, unsigned first, unsigned second,
                         double most_s) {
  for (int tries = 0;; tries++) {
    bench_open(b);
    b->patience_ms = patience_ms;
    double took_s = run(b, first, second, 2);
    if (took_s < most_s || tries == 20) return took_s;
    bench_close(b);
  }
}

IT("starts with the next address after 250 ms where the first is silent") {
  struct bench b;
  double took_s = run_within(&b, 5000, 0, 1, 0.9);
  CHECK(b.fd >= 0 && b.winner == 1 && b.lost == 1 && took_s > 0.2 && took_s < 0.9);
  bench_close(&b);
}

IT("starts with the next address earlier where there is little time for all") {
  struct bench b;
  double took_s = run_within(&b, 200, 0, 1, 0.2);
  CHECK(b.fd >= 0 && b.winner == 1 && took_s > 0.04 && took_s < 0.2);
  bench_close(&b);
}

IT("starts with the next address at once where the first fails") {
  struct bench b;
  double took_s = run_within(&b, 5000, 2, 1, 0.2);
  CHECK(b.fd >= 0 && b.winner == 1 && b.lost == 1 && took_s < 0.2);
  bench_close(&b);
}

IT("is content with the first address where that is good") {
  struct bench b;
  double took_s = run_within(&b, 5000, 1, 2, 0.2);
  CHECK(b.fd >= 0 && b.winner == 0 && b.lost == 0 && took_s < 0.2 && b.race.started == 1);
  CHECK(race_go_on(&b.race) && !race_go_on(&b.race));
  bench_close(&b);
}

IT("ends once, and from the loop, where all addresses fail") {
  struct bench b;
  bench_open(&b);
  run(&b, 2, 2, 2);
  CHECK(b.fd == -1 && b.lost == 3 && race_code(&b.race) == ECONNREFUSED && !race_failed_locally(&b.race));
  bench_close(&b);
}

IT("does not hold a shortage of our own against an address") {
  struct bench b;
  bench_open(&b);
  CHECK(race_is_local(EMFILE, &b.addresses[0]) && race_is_local(EAGAIN, &b.addresses[0]));
  CHECK(race_is_local(EADDRNOTAVAIL, &b.addresses[0]) && !race_is_local(ECONNREFUSED, &b.addresses[0]));
  CHECK(!race_is_local(EAGAIN, &(struct addr){.kind = ADDR_UNIX}));
  bench_close(&b);
}
