// SPDX-License-Identifier: Apache-2.0
// rewatch: see rewatch.h.
#include "net/rewatch.h"

#include "base/container.h"

#define PAUSE_S 0.1

static void on_again(struct ev_loop *loop, ev_timer *timer, int events) {
  struct rewatch *r = CONTAINER_OF(timer, struct rewatch, again);
  (void)events;
  ev_io_start(loop, r->watcher);
}

void rewatch_init(struct rewatch *r, ev_io *watcher) {
  r->watcher = watcher;
  ev_timer_init(&r->again, on_again, 0., 0.);
}

bool rewatch_is_needed(struct rewatch *r, struct ev_loop *loop, int events) {
  if (!(events & EV_ERROR)) return false;
  ev_timer_set(&r->again, PAUSE_S, 0.);
  ev_timer_start(loop, &r->again);
  return true;
}

void rewatch_stop(struct rewatch *r, struct ev_loop *loop) {
  ev_io_stop(loop, r->watcher);
  ev_timer_stop(loop, &r->again);
}
