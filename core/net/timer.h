// SPDX-License-Identifier: Apache-2.0
// timer: a one-shot deadline on a worker's loop. To move it later only stores the new time; the loop's timer
// is changed when it fires, so steady traffic restarts no timers. In one turn of the loop, timers run after
// the sockets.
#ifndef PERILUNE_NET_TIMER_H
#define PERILUNE_NET_TIMER_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "net/virtual_time.h"

struct timer {
  ev_timer watcher;
  struct ev_loop *loop; /* borrowed */
  ev_tstamp due;        /* 0: not set */
  void (*on_due)(struct timer *timer);
  uint32_t wait_ms; /* as it was set last */
  bool patient;     /* a deadline for somebody else: see timer_init_patient */
  bool pardoned;    /* it was late and was given more time, or it is to be given none */
};

void timer_init(struct timer *timer, struct ev_loop *loop, void (*on_due)(struct timer *timer));
/* The same for a deadline that blames somebody: where the loop itself comes late, it is given once more, up to a
 * second, so that what is there already can be seen, and what stood still with us can come. */
void timer_init_patient(struct timer *timer, struct ev_loop *loop, void (*on_due)(struct timer *timer));
/* Due in `ms` from now (the loop's time), instead of any time set before. on_due is called once, from the
 * loop; it may free the timer. */
void timer_set(struct timer *timer, uint64_t ms);
/* The same, and no more time is given, be the timer patient or not: for a time that blames nobody, such as how long
 * something may lie unused. */
void timer_set_strict(struct timer *timer, uint64_t ms);
/* On the clock that `due` is on, in seconds. */
static inline double timer_now(const struct timer *timer) {
  return virtual_time.on ? (double)virtual_time.now_ms / 1000.0 : ev_now(timer->loop);
}
/* Its time has come, although on_due was not called yet: sockets go first in a turn. */
static inline bool timer_is_over(const struct timer *timer) {
  return timer->due != 0 && timer->due <= timer_now(timer);
}
/* Not due any more. Keeps the loop's timer running until it would have fired: cheap. Call timer_stop before
 * freeing. */
static inline void timer_clear(struct timer *timer) { timer->due = 0; }
static inline bool timer_is_set(const struct timer *timer) { return timer->due != 0; }
/* Until it is due; 0 if it is not set. */
static inline uint64_t timer_left_ms(const struct timer *timer) {
  double left = timer->due ? timer->due - timer_now(timer) : 0;
  return left > 0 ? (uint64_t)(left * 1000.0) : 0;
}
/* Since it was set; 0 if it is not set. */
static inline uint64_t timer_gone_ms(const struct timer *timer) {
  uint64_t left = timer_left_ms(timer);
  return timer->due && left < timer->wait_ms ? timer->wait_ms - left : 0;
}
void timer_stop(struct timer *timer);
/* The loop's own time in ms, on the steady clock: what stamps and deadlines are compared with; moves once per loop
 * turn. */
static inline uint64_t loop_now_ms(struct ev_loop *loop) {
  if (__builtin_expect(virtual_time.on, false)) return virtual_time.now_ms;
  return (uint64_t)(ev_now(loop) * 1000.0);
}
/* Moves it to now, for a deadline that is set late in a long turn. */
static inline void loop_update_now(struct ev_loop *loop) {
  if (!virtual_time.on) ev_now_update(loop);
}
static inline uint64_t loop_now_us(struct ev_loop *loop) {
  if (__builtin_expect(virtual_time.on, false)) return virtual_time.now_ms * 1000;
  return (uint64_t)(ev_now(loop) * 1e6);
}

#endif
