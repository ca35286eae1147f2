// SPDX-License-Identifier: Apache-2.0
// Units for net/coalesce.
#include "net/coalesce.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/ticks.h"
#include "unit.h"

enum { WINDOW_US = COALESCE_WINDOW_US };

IT("leaves an eighth of what an exchange takes between two looks") {
  CHECK(coalesce_interval_us(500, WINDOW_US, 320) == 40);
}

IT("leaves a tenth of a millisecond at most") {
  CHECK(coalesce_interval_us(500, WINDOW_US, 801) == COALESCE_MOST_US);
  CHECK(coalesce_interval_us(500, WINDOW_US, 60000000) == COALESCE_MOST_US);
}

IT("leaves none where less than one exchange ends meanwhile") {
  CHECK(coalesce_interval_us(100, WINDOW_US, 5000) == 100);
  CHECK(coalesce_interval_us(99, WINDOW_US, 5000) == 0);
  CHECK(coalesce_interval_us(0, WINDOW_US, 5000) == 0);
  CHECK(coalesce_interval_us(0, WINDOW_US, 0) == 0);
}

IT("leaves none for few connections, however fast they are") {
  for (unsigned us = 10; us < 1000; us++) /* Little's law: seven under way */
    CHECK(coalesce_interval_us(7 * WINDOW_US / us, WINDOW_US, us) == 0);
}

struct fixture {
  struct ev_loop *loop;
  struct coalesce coalesce;
  ev_io reader;
  ev_timer end;
  int fds[2];
  unsigned looks, most, interval_us;
};

/* The loop finds it readable whenever it looks. A machine that was elsewhere for a window has measured a pause: then
 * the interval of this look() has ended. */
static void on_readable(struct ev_loop *loop, ev_io *watcher, int events) {
  struct fixture *f = watcher->data;
  (void)events;
  bool has_ended = f->coalesce.interval_us != f->interval_us;
  if (has_ended || ++f->looks == f->most) ev_break(loop, EVBREAK_ALL);
}

static void on_end(struct ev_loop *loop, ev_timer *watcher, int events) {
  (void)watcher, (void)events;
  ev_break(loop, EVBREAK_ALL);
}

static void with_loop(void (*test)(struct fixture *f)) {
  struct fixture f = {.loop = ev_loop_new(0)};
  if (pipe(f.fds) != 0 || write(f.fds[1], "x", 1) != 1) abort();
  ticks_calibrate();
  ticks_calibrate();
  coalesce_init(&f.coalesce, f.loop);
  ev_io_init(&f.reader, on_readable, f.fds[0], EV_READ);
  f.reader.data = &f;
  ev_io_start(f.loop, &f.reader);
  ev_timer_init(&f.end, on_end, 0.05, 0.);
  test(&f);
  ev_io_stop(f.loop, &f.reader);
  coalesce_stop(&f.coalesce);
  ev_loop_destroy(f.loop);
  close(f.fds[0]);
  close(f.fds[1]);
}

/* A window has passed in which `count` exchanges ended, the last at its end; the loop looks once. */
static void window(struct fixture *f, unsigned count, unsigned us) {
  for (unsigned i = 1; i < count; i++) coalesce_add(&f->coalesce, us);
  while (ticks_to_us(ticks_since(f->coalesce.began)) < WINDOW_US) continue;
  if (count) coalesce_add(&f->coalesce, us);
  ev_run(f->loop, EVRUN_NOWAIT);
}

/* 100 looks, or as many as there are in 50 ms with the interval that is in force; in us, what they took. */
static uint64_t look(struct fixture *f) {
  f->looks = 0;
  f->most = 100;
  f->interval_us = f->coalesce.interval_us;
  ev_now_update(f->loop);
  ev_timer_start(f->loop, &f->end);
  uint64_t began = ticks_now();
  ev_run(f->loop, 0);
  ev_timer_stop(f->loop, &f->end);
  return ticks_to_us(ticks_since(began));
}

/* Enough for the smoothing to have come near. */
static void windows(struct fixture *f, unsigned count, unsigned us) {
  for (int i = 0; i < 20; i++) window(f, count, us);
}

static void gathers(struct fixture *f) {
  windows(f, 100000, 2000);
  CHECK(f->coalesce.interval_us == COALESCE_MOST_US);
  uint64_t us = look(f);
  CHECK(f->looks <= 1 + us / (COALESCE_MOST_US - 10));
}
IT("looks once in each interval while much is under way") { with_loop(gathers); }

static void pauses(struct fixture *f) {
  windows(f, 100000, 2000);
  window(f, 0, 0);
  CHECK(f->coalesce.interval_us == 0);
}
IT("looks at once again behind a pause") { with_loop(pauses); }

static void has_no_watcher(struct fixture *f) {
  window(f, 1, 2000);
  CHECK(!ev_is_active(&f->coalesce.before) && !ev_is_active(&f->coalesce.behind));
  windows(f, 100000, 2000);
  CHECK(ev_is_active(&f->coalesce.before) && ev_is_active(&f->coalesce.behind));
  window(f, 0, 0);
  CHECK(!ev_is_active(&f->coalesce.before) && !ev_is_active(&f->coalesce.behind));
}
IT("costs a loop that looks at once nothing in each turn") { with_loop(has_no_watcher); }

static void one_for_long(struct fixture *f) {
  for (int i = 0; i < 20; i++) {
    coalesce_add(&f->coalesce, 3600000000u);
    window(f, 100000, 80);
  }
  CHECK(f->coalesce.mean_us < 100);
}
IT("does not take one that lasted for long as the measure of all") { with_loop(one_for_long); }

static void on_long_turn(struct ev_loop *loop, ev_prepare *watcher, int events) {
  struct fixture *f = watcher->data;
  uint64_t began = ticks_now();
  (void)events;
  for (int i = 0; i < 10; i++) coalesce_add(&f->coalesce, 2000);
  while (ticks_to_us(ticks_since(began)) < 2 * COALESCE_MOST_US) continue;
  ev_now_update(loop); /* as a hook that waits does */
}

static void long_turns(struct fixture *f) {
  ev_prepare turn;
  ev_prepare_init(&turn, on_long_turn);
  ev_set_priority(&turn, EV_MAXPRI);
  turn.data = f;
  ev_prepare_start(f->loop, &turn);
  for (int tries = 0; tries < 100;
       tries++) { /* a machine that was elsewhere for a window has measured a pause */
    windows(f, 100000, 2000);
    look(f);
    if (f->coalesce.interval_us == COALESCE_MOST_US) break;
  }
  CHECK(f->coalesce.interval_us == COALESCE_MOST_US && f->coalesce.waits == 0);
  ev_prepare_stop(f->loop, &turn);
}
IT("looks at once behind a long turn, also where the loop's clock was set in it") { with_loop(long_turns); }

static void stops(struct fixture *f) {
  windows(f, 100000, 2000);
  coalesce_stop(&f->coalesce);
  CHECK(f->coalesce.interval_us == 0);
  window(f, 100000, 2000);
  CHECK(f->coalesce.interval_us == 0);
}
IT("looks at once for good when it is stopped") { with_loop(stops); }
