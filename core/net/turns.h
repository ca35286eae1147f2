// SPDX-License-Identifier: Apache-2.0
// turns: long work in small portions, so that a turn of the loop stays short whoever works in it (invariant I2). All
// who work share one allowance of time for each turn. Who finds it used up, or others waiting, gets in line, and goes
// on in a later turn, first come, first served. Between two turns the loop looks for events as ever.
#ifndef PERILUNE_NET_TURNS_H
#define PERILUNE_NET_TURNS_H

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

/* What a turn of the loop spends on such work, unless one portion takes longer by itself. */
enum { TURNS_US = 1000 };

/* A place in the line: a member of whoever works. All zero to begin with. */
struct turn {
  struct list link;
  bool waits;
  void (*go)(struct turn *turn);
};

struct turns {
  ev_timer next; /* with nothing to wait for: while somebody is in line */
  struct ev_loop *loop;
  struct list line;
  unsigned iteration; /* of the loop: the turn that `spent_us` is of */
  uint64_t spent_us;
  bool is_serving; /* the first of the line has its turn */
};

void turns_init(struct turns *turns, struct ev_loop *loop);
/* Nobody may be in line any more. */
void turns_stop(struct turns *turns);
/* May a portion be worked on now? */
bool turns_may_work(struct turns *turns);
/* A portion took so long. */
void turns_spend(struct turns *turns, uint64_t us);
/* Gets in line: turn->go follows from the loop, once. */
void turns_wait(struct turns *turns, struct turn *turn);
/* Leaves the line. Harmless for one that does not stand in it. */
void turns_leave(struct turns *turns, struct turn *turn);

#endif
