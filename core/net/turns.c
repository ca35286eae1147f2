// SPDX-License-Identifier: Apache-2.0
// turns: a timer that is due at once takes the loop to its next turn, behind the sockets of that.
#include "net/turns.h"

#include "base/check.h"
#include "base/container.h"

static void begin_turn(struct turns *t) {
  unsigned iteration = ev_iteration(t->loop);
  if (t->iteration == iteration) return;
  t->iteration = iteration;
  t->spent_us = 0;
}

bool turns_may_work(struct turns *t) {
  begin_turn(t);
  return t->spent_us < TURNS_US && (t->is_serving || list_is_empty(&t->line));
}

void turns_spend(struct turns *t, uint64_t us) {
  begin_turn(t);
  t->spent_us += us;
}

static void stop_timer(struct turns *t) { ev_timer_stop(t->loop, &t->next); }

static void start_timer(struct turns *t) {
  if (ev_is_active(&t->next)) return;
  ev_timer_set(&t->next, 0., 0.);
  ev_timer_start(t->loop, &t->next);
}

/* The first one goes on in any case. Who gets in line again stands behind the others. */
static void on_next(struct ev_loop *loop, ev_timer *timer, int events) {
  struct turns *t = CONTAINER_OF(timer, struct turns, next);
  (void)loop, (void)events;
  begin_turn(t);
  do {
    struct turn *turn = LIST_ENTRY(t->line.next, struct turn, link);
    turns_leave(t, turn);
    t->is_serving = true;
    turn->go(turn);
    t->is_serving = false;
  } while (!list_is_empty(&t->line) && t->spent_us < TURNS_US);
  if (!list_is_empty(&t->line)) start_timer(t);
}

void turns_init(struct turns *t, struct ev_loop *loop) {
  *t = (struct turns){.loop = loop};
  list_init(&t->line);
  ev_timer_init(&t->next, on_next, 0., 0.);
}

void turns_stop(struct turns *t) {
  CHECK(list_is_empty(&t->line));
  stop_timer(t);
}

void turns_wait(struct turns *t, struct turn *turn) {
  CHECK(turn->go && !turn->waits);
  turn->waits = true;
  list_push_back(&t->line, &turn->link);
  if (!t->is_serving) start_timer(t);
}

void turns_leave(struct turns *t, struct turn *turn) {
  if (!turn->waits) return;
  turn->waits = false;
  list_remove(&turn->link);
  if (list_is_empty(&t->line)) stop_timer(t);
}
