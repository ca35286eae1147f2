// SPDX-License-Identifier: Apache-2.0
// coalesce: measures in windows, and looks whether one is over just before the loop waits; so what was measured before a
// pause is no longer in force behind it. The waiting itself is libev's (ev_set_io_collect_interval): it counts from the
// end of the last look, and never beyond a timer that is due.
#include "net/coalesce.h"

#include <sys/prctl.h>

#include "base/ticks.h"

enum { WINDOW_US = 10000, SMOOTHING = 4, SLACK_NS = 1000 };

unsigned coalesce_interval_us(unsigned ended, uint64_t window_us, unsigned mean_us) {
  unsigned interval = mean_us / COALESCE_SHARE;
  if (interval > COALESCE_MOST_US) interval = COALESCE_MOST_US;
  return (uint64_t)ended * interval < window_us ? 0 : interval;
}

static void set_interval(struct coalesce *c, unsigned us) {
  if (us == c->interval_us) return;
  c->interval_us = us;
  ev_set_io_collect_interval(c->loop, us * 1e-6);
}

static void on_prepare(struct ev_loop *loop, ev_prepare *watcher, int events) {
  struct coalesce *c = (struct coalesce *)watcher;
  (void)loop, (void)events;
  uint64_t us = ticks_to_us(ticks_since(c->began));
  if (us < WINDOW_US) return;
  if (c->ended) c->mean_us += ((int)(c->sum_us / c->ended) - (int)c->mean_us) / SMOOTHING;
  set_interval(c, coalesce_interval_us(c->ended, us, c->mean_us));
  c->ended = 0;
  c->sum_us = 0;
  c->began = ticks_now();
}

void coalesce_init(struct coalesce *c, struct ev_loop *loop) {
  *c = (struct coalesce){.loop = loop, .began = ticks_now()};
  ev_prepare_init(&c->watcher, on_prepare);
  ev_prepare_start(loop, &c->watcher);
  ev_unref(loop);
}

void coalesce_stop(struct coalesce *c) {
  if (!ev_is_active(&c->watcher)) return;
  set_interval(c, 0);
  ev_ref(c->loop);
  ev_prepare_stop(c->loop, &c->watcher);
}

void coalesce_thread_begin(void) { prctl(PR_SET_TIMERSLACK, (unsigned long)SLACK_NS, 0UL, 0UL, 0UL); }
