// SPDX-License-Identifier: Apache-2.0
// timer: a deadline is a stored time. The libev timer is restarted only if a deadline moves before the time it is set
// for; when it fires too early, it is set again for the rest.
//
// Timers run after the sockets: all timers have the lowest priority, so that in one turn of the loop the data that
// has arrived is handled first. But after a stall (a busy hook, SIGSTOP, a suspended machine) one turn may not be
// enough: the answer may need another turn, or the other side was stalled, too. So a patient timer that fires late
// gets its time once more, up to a second, before it is due.
//
// The time of a loop is that of the steady clock. libev's own is the time of day, reckoned from the steady clock and
// corrected twice a second: where that steps, deadlines that were stored before would be off by as much. libev asks
// ev_time for the time of day, and finds the one of this file.
//
// libev's contract: a watcher is only set while it is neither active nor pending. A pending one is left alone: on_fire
// follows in this turn and finds the new time.
#include "net/timer.h"

#include <time.h>

#include "base/check.h"

ev_tstamp ev_time(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (ev_tstamp)t.tv_sec + (ev_tstamp)t.tv_nsec * 1e-9;
}

/* How late is late: in ms, or as a share of the time that was given; and how much more time there is at most. */
enum { LATE_MS = 20, LATE_SHARE = 4, PARDON_MOST_MS = 1000 };

static void on_fire(struct ev_loop *loop, ev_timer *watcher, int events);

static void arm(struct timer *timer, double seconds) {
  CHECK(!ev_is_active(&timer->watcher) && !ev_is_pending(&timer->watcher));
  ev_timer_set(&timer->watcher, seconds, 0.);
  ev_timer_start(timer->loop, &timer->watcher);
}

static unsigned least(unsigned a, unsigned b) { return a < b ? a : b; }

/* True: it is armed again, because we are late. */
static bool pardon(struct timer *timer) {
  if (!timer->patient || timer->pardoned) return false;
  loop_update_now(timer->loop); /* the sockets of this turn may have taken their time */
  double late_ms = (ev_now(timer->loop) - timer->due) * 1000.0;
  if (late_ms <= least(LATE_MS, timer->wait_ms / LATE_SHARE)) return false;
  double more = least(timer->wait_ms, PARDON_MOST_MS) / 1000.0;
  timer->pardoned = true;
  timer->due = ev_now(timer->loop) + more;
  arm(timer, more);
  return true;
}

static void on_fire(struct ev_loop *loop, ev_timer *watcher, int events) {
  struct timer *timer = (struct timer *)watcher;
  (void)events;
  if (!timer_is_set(timer)) return;
  double rest = timer->due - ev_now(loop);
  if (rest > 0.0005) {
    arm(timer, rest);
    return;
  }
  if (pardon(timer)) return;
  timer->due = 0;
  timer->on_due(timer);
}

void timer_init(struct timer *timer, struct ev_loop *loop, void (*on_due)(struct timer *timer)) {
  ev_init(&timer->watcher, on_fire);
  ev_set_priority(&timer->watcher, EV_MINPRI);
  timer->loop = loop;
  timer->due = 0;
  timer->on_due = on_due;
  timer->wait_ms = 0;
  timer->patient = timer->pardoned = false;
}

void timer_init_patient(struct timer *timer, struct ev_loop *loop, void (*on_due)(struct timer *timer)) {
  timer_init(timer, loop, on_due);
  timer->patient = true;
}

void timer_set(struct timer *timer, uint64_t ms) {
  double wait = (double)ms / 1000.0;
  timer->wait_ms = ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
  timer->pardoned = false;
  if (virtual_time.on) {
    timer->due = (double)(virtual_time.now_ms + ms) / 1000.0;
    virtual_time_add(timer);
    return;
  }
  timer->due = ev_now(timer->loop) + wait;
  if (ev_is_pending(&timer->watcher)) return;
  if (ev_is_active(&timer->watcher)) {
    if (ev_timer_remaining(timer->loop, &timer->watcher) <= wait) return;
    ev_timer_stop(timer->loop, &timer->watcher);
  }
  arm(timer, wait);
}

void timer_set_strict(struct timer *timer, uint64_t ms) {
  timer_set(timer, ms);
  timer->pardoned = true;
}

void timer_stop(struct timer *timer) {
  timer->due = 0;
  if (virtual_time.on) virtual_time_remove(timer);
  if (timer->loop) ev_timer_stop(timer->loop, &timer->watcher);
}
