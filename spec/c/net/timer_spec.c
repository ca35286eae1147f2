// SPDX-License-Identifier: Apache-2.0
// Units for net/timer on a real loop: waits of some milliseconds.
#include "net/timer.h"

#include <ev.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>

#include "base/container.h"
#include "base/list.h"
#include "unit.h"

struct event {
  struct timer timer;
  struct ev_loop *loop;
  struct event *other; /* is moved when this one is due */
  uint64_t other_ms;
  double fired_at; /* on the loop's clock; 0: not yet */
};

static void on_due(struct timer *timer) {
  struct event *event = CONTAINER_OF(timer, struct event, timer);
  event->fired_at = ev_now(event->loop);
  if (event->other) timer_set(&event->other->timer, event->other_ms);
}

static void event_init(struct event *event, struct ev_loop *loop) {
  *event = (struct event){.loop = loop};
  timer_init(&event->timer, loop, on_due);
}

static struct ev_loop *new_loop(void) {
  struct ev_loop *loop = ev_loop_new(0);
  ev_now_update(loop);
  return loop;
}

static void run_late(struct ev_loop *loop, unsigned late_ms) {
  usleep(late_ms * 1000);
  ev_run(loop, 0);
}

IT("is on the steady clock, whatever the time of day does") {
  struct ev_loop *loop = new_loop();
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  double behind = (double)t.tv_sec + (double)t.tv_nsec * 1e-9 - ev_now(loop);
  CHECK(behind >= 0 && behind < 60);
  ev_loop_destroy(loop);
}

IT("is moved by one that lapsed in the same turn, and can be moved nearer again") {
  struct ev_loop *loop = new_loop();
  struct event first, second, third;
  event_init(&first, loop);
  event_init(&second, loop);
  event_init(&third, loop);
  double begun = ev_now(loop);
  first.other = third.other = &second;
  first.other_ms = 400;
  third.other_ms = 10;
  timer_set(&first.timer, 10);
  timer_set(&second.timer, 11);
  timer_set(&third.timer, 60);
  run_late(loop, 20);
  double after = second.fired_at - begun;
  CHECK(after > 0.065 && after < 0.35);
  ev_loop_destroy(loop);
}

static int pair[2];
static double read_at;

static void on_read(struct ev_loop *loop, ev_io *watcher, int events) {
  char byte;
  (void)events;
  if (read(pair[0], &byte, 1) == 1) read_at = ev_now(loop);
  ev_io_stop(loop, watcher);
  timer_stop((struct timer *)watcher->data);
}

IT("comes behind the sockets of its turn, and is not due where they have stopped it") {
  struct ev_loop *loop = new_loop();
  struct event event;
  ev_io reader;
  event_init(&event, loop);
  CHECK(pipe(pair) == 0);
  ev_io_init(&reader, on_read, pair[0], EV_READ);
  reader.data = &event.timer;
  ev_io_start(loop, &reader);
  timer_set(&event.timer, 5);
  CHECK(write(pair[1], "x", 1) == 1);
  run_late(loop, 10);
  CHECK(read_at > 0);
  CHECK(event.fired_at == 0);
  close(pair[0]);
  close(pair[1]);
  ev_loop_destroy(loop);
}

struct firing {
  double after; /* seconds */
  bool pardoned;
};

static struct firing fire(bool patient, unsigned wait_ms, unsigned late_ms) {
  struct ev_loop *loop = new_loop();
  struct event event;
  event_init(&event, loop);
  event.timer.patient = patient;
  double begun = ev_now(loop);
  timer_set(&event.timer, wait_ms);
  run_late(loop, late_ms);
  ev_loop_destroy(loop);
  return (struct firing){event.fired_at - begun, event.timer.pardoned};
}

IT("is given once more where the loop is late, if it is patient") {
  struct firing patient = fire(true, 40, 100), other = fire(false, 40, 100);
  CHECK(patient.pardoned && patient.after >= 0.139);
  CHECK(!other.pardoned && other.after >= 0.099);
}

IT("is over when its time has come, and is given no more where it was set strictly") {
  struct ev_loop *loop = new_loop();
  struct event event;
  event_init(&event, loop);
  event.timer.patient = true;
  timer_set_strict(&event.timer, 60000);
  CHECK(!timer_is_over(&event.timer));
  timer_set_strict(&event.timer, 40);
  usleep(100 * 1000);
  ev_now_update(loop);
  CHECK(timer_is_over(&event.timer));
  ev_run(loop, EVRUN_NOWAIT);
  CHECK(event.fired_at != 0 && !timer_is_over(&event.timer));
  ev_loop_destroy(loop);
}

/* A busy machine is late by itself: then it is asked again. */
IT("is not given once more where the loop is in time, be it patient or not") {
  enum { TRIES = 100 };
  struct firing in_time = {.pardoned = true};
  for (int i = 0; i < TRIES && in_time.pardoned; i++) in_time = fire(true, 80, 0);
  CHECK(!in_time.pardoned && in_time.after >= 0.079);
}
