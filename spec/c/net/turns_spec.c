// SPDX-License-Identifier: Apache-2.0
// Units for net/turns.
#include "net/turns.h"

#include "base/container.h"
#include "unit.h"

struct worker {
  struct turn turn;
  struct turns *turns;
  unsigned portions; /* that are left */
  uint64_t us;       /* each */
  char name;
};

static char order[32];
static unsigned done;

static void work(struct turn *turn) {
  struct worker *w = CONTAINER_OF(turn, struct worker, turn);
  order[done++] = w->name;
  turns_spend(w->turns, w->us);
  if (--w->portions) turns_wait(w->turns, turn);
}

static struct worker new_worker(struct turns *turns, char name, unsigned portions, uint64_t us) {
  return (struct worker){{.go = work}, turns, portions, us, name};
}

static void begin(struct turns *turns) {
  memset(order, 0, sizeof order);
  done = 0;
  turns_init(turns, ev_loop_new(0));
}

static void end(struct turns *turns) {
  turns_stop(turns);
  ev_loop_destroy(turns->loop);
}

IT("lets those in line go one after another, and behind the others again, until the turn is used up") {
  struct turns turns;
  begin(&turns);
  struct worker a = new_worker(&turns, 'a', 3, TURNS_US / 3), b = new_worker(&turns, 'b', 2, TURNS_US / 3);
  turns_wait(&turns, &a.turn);
  turns_wait(&turns, &b.turn);
  CHECK(done == 0);
  ev_run(turns.loop, EVRUN_ONCE);
  CHECK_STR(str_of(order), "abab");
  ev_run(turns.loop, EVRUN_ONCE);
  CHECK_STR(str_of(order), "ababa");
  end(&turns);
}

IT("gives the first in line a portion in each turn of the loop, however long that takes") {
  struct turns turns;
  begin(&turns);
  struct worker a = new_worker(&turns, 'a', 2, 5 * TURNS_US), b = new_worker(&turns, 'b', 1, 1);
  turns_wait(&turns, &a.turn);
  turns_wait(&turns, &b.turn);
  ev_run(turns.loop, EVRUN_ONCE);
  CHECK_STR(str_of(order), "a");
  ev_run(turns.loop, EVRUN_ONCE);
  CHECK_STR(str_of(order), "aba");
  end(&turns);
}

IT("lets nobody work past those in line, nor beyond what a turn may take") {
  struct turns turns;
  begin(&turns);
  struct worker a = new_worker(&turns, 'a', 1, 1);
  CHECK(turns_may_work(&turns));
  turns_wait(&turns, &a.turn);
  CHECK(!turns_may_work(&turns));
  ev_run(turns.loop, EVRUN_ONCE);
  CHECK(done == 1 && turns_may_work(&turns));
  turns_spend(&turns, TURNS_US);
  CHECK(!turns_may_work(&turns));
  ev_run(turns.loop, EVRUN_NOWAIT);
  CHECK(turns_may_work(&turns));
  end(&turns);
}

IT("forgets whoever leaves the line, and keeps no loop alive for nobody") {
  struct turns turns;
  begin(&turns);
  struct worker a = new_worker(&turns, 'a', 1, 1), b = new_worker(&turns, 'b', 1, 1);
  turns_leave(&turns, &a.turn);
  turns_wait(&turns, &a.turn);
  turns_wait(&turns, &b.turn);
  turns_leave(&turns, &a.turn);
  ev_run(turns.loop, 0);
  CHECK_STR(str_of(order), "b");
  turns_wait(&turns, &a.turn);
  turns_leave(&turns, &a.turn);
  ev_run(turns.loop, 0);
  CHECK(done == 1);
  end(&turns);
}
