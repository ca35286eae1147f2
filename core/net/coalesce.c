// SPDX-License-Identifier: Apache-2.0
// coalesce: measures in windows. Whether a window is over is checked when an exchange ends and, while an interval is
// in force, just before the loop waits. So an interval that was measured before a pause does not stay in force after
// it, and a loop without an interval has no watcher for this. libev does the waiting (ev_set_io_collect_interval),
// and never waits beyond a timer. libev measures the interval from the last time that the loop's clock was set, which
// waiting hooks also do; so the time between the poll and then is subtracted.
#include "net/coalesce.h"

#include <sys/prctl.h>

#include "base/container.h"
#include "base/list.h"
#include "base/ticks.h"

enum { SMOOTHING = 4, SLACK_NS = 1000 };

unsigned coalesce_interval_us(unsigned ended, uint64_t window_us, unsigned mean_us) {
  unsigned interval = mean_us / COALESCE_SHARE;
  if (interval > COALESCE_MOST_US) interval = COALESCE_MOST_US;
  return (uint64_t)ended * interval < window_us ? 0 : interval;
}

static void start_watchers(struct coalesce *c) {
  if (ev_is_active(&c->before)) return;
  ev_prepare_start(c->loop, &c->before);
  ev_check_start(c->loop, &c->behind);
  ev_unref(c->loop);
  ev_unref(c->loop);
}

static void stop_watchers(struct coalesce *c) {
  if (!ev_is_active(&c->before)) return;
  ev_ref(c->loop);
  ev_ref(c->loop);
  ev_prepare_stop(c->loop, &c->before);
  ev_check_stop(c->loop, &c->behind);
}

void coalesce_measure(struct coalesce *c) {
  uint64_t us = ticks_to_us(ticks_since(c->began));
  if (us < COALESCE_WINDOW_US || c->is_stopped) return;
  if (c->ended) c->mean_us += ((int)(c->sum_us / c->ended) - (int)c->mean_us) / SMOOTHING;
  c->interval_us = coalesce_interval_us(c->ended, us, c->mean_us);
  c->ended = 0;
  c->sum_us = 0;
  c->began = ticks_now();
  if (c->interval_us) start_watchers(c);
}

static void wait_for(struct coalesce *c, double seconds) {
  if (seconds == c->waits) return;
  c->waits = seconds;
  ev_set_io_collect_interval(c->loop, seconds);
}

static void on_prepare(struct ev_loop *loop, ev_prepare *watcher, int events) {
  struct coalesce *c = (struct coalesce *)watcher;
  (void)events;
  coalesce_measure(c);
  double interval = c->interval_us * 1e-6, gone = c->interval_us ? ev_now(loop) - c->woke : 0;
  wait_for(c, gone >= interval || gone < 0 ? 0 : interval - gone);
  if (!c->interval_us) stop_watchers(c);
}

static void on_check(struct ev_loop *loop, ev_check *watcher, int events) {
  struct coalesce *c = CONTAINER_OF(watcher, struct coalesce, behind);
  (void)events;
  c->woke = ev_now(loop);
}

void coalesce_init(struct coalesce *c, struct ev_loop *loop) {
  *c = (struct coalesce){.loop = loop, .began = ticks_now()};
  ev_prepare_init(&c->before, on_prepare);
  ev_check_init(&c->behind, on_check);
}

void coalesce_stop(struct coalesce *c) {
  c->is_stopped = true;
  c->interval_us = 0;
  wait_for(c, 0);
  stop_watchers(c);
}

void coalesce_thread_begin(void) { prctl(PR_SET_TIMERSLACK, (unsigned long)SLACK_NS, 0UL, 0UL, 0UL); }
