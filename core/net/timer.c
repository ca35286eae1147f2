// SPDX-License-Identifier: Apache-2.0
// timer: deadlines by stamp. The libev timer underneath is only restarted when a deadline comes nearer than
// what is armed; when it fires too early, it is armed for the rest.
#include "net/timer.h"

static void on_fire(struct ev_loop *loop, ev_timer *watcher, int events) {
  struct timer *timer = (struct timer *)watcher;
  (void)events;
  if (!timer_is_set(timer)) return;
  double rest = timer->due - ev_now(loop);
  if (rest > 0.0005) {
    ev_timer_set(watcher, rest, 0.);
    ev_timer_start(loop, watcher);
    return;
  }
  timer->due = 0;
  timer->on_due(timer);
}

void timer_init(struct timer *timer, struct ev_loop *loop, void (*on_due)(struct timer *timer)) {
  ev_init(&timer->watcher, on_fire);
  timer->loop = loop;
  timer->due = 0;
  timer->on_due = on_due;
}

void timer_set(struct timer *timer, uint64_t ms) {
  double wait = (double)ms / 1000.0;
  if (virtual_time.on) {
    timer->due = (double)(virtual_time.now_ms + ms) / 1000.0;
    virtual_time_add(timer);
    return;
  }
  timer->due = ev_now(timer->loop) + wait;
  if (ev_is_active(&timer->watcher)) {
    if (ev_timer_remaining(timer->loop, &timer->watcher) <= wait) return;
    ev_timer_stop(timer->loop, &timer->watcher);
  }
  ev_timer_set(&timer->watcher, wait, 0.);
  ev_timer_start(timer->loop, &timer->watcher);
}

void timer_stop(struct timer *timer) {
  timer->due = 0;
  if (virtual_time.on) virtual_time_remove(timer);
  if (timer->loop) ev_timer_stop(timer->loop, &timer->watcher);
}
