// SPDX-License-Identifier: Apache-2.0
// Units for shared/inflight and shared/counter.
#include "shared/inflight.h"

#include "shared/counter.h"
#include "threads.h"
#include "unit.h"

IT("counts what is under way up to a maximum, by key") {
  struct inflight *i = inflight_new();
  CHECK(inflight_acquire(i, STR("a"), 2) == 1);
  CHECK(inflight_acquire(i, STR("a"), 2) == 2);
  CHECK(inflight_acquire(i, STR("a"), 2) == -2);
  CHECK(inflight_acquire(i, STR("b"), 2) == 1);
  CHECK(inflight_count(i, STR("a")) == 2);
  inflight_release(i, STR("a"));
  CHECK(inflight_count(i, STR("a")) == 1 && inflight_count(i, STR("b")) == 1);
  CHECK(inflight_acquire(i, STR("a"), 2) == 2);
  inflight_free(i);
}

IT("lets nothing under way where the maximum is 0") {
  struct inflight *i = inflight_new();
  CHECK(inflight_acquire(i, STR("a"), 0) == 0);
  CHECK(inflight_count(i, STR("a")) == 0);
  inflight_free(i);
}

enum { ROUNDS = 5000, PLACES = 3 };
struct contest {
  struct inflight *inflight;
  struct counter inside, most, total;
};

static void compete(void *argument, unsigned index) {
  struct contest *c = argument;
  (void)index;
  for (int round = 0; round < ROUNDS; round++) {
    if (inflight_acquire(c->inflight, STR("key"), PLACES) <= 0) continue;
    int64_t now = counter_add(&c->inside, 1);
    if (now > counter_get(&c->most)) counter_set(&c->most, now);
    counter_add(&c->inside, -1);
    counter_add(&c->total, 1);
    inflight_release(c->inflight, STR("key"));
  }
}

IT("never lets more threads in than there are places, and counts down to nothing") {
  struct contest c = {.inflight = inflight_new()};
  threads_run(compete, &c);
  CHECK(counter_get(&c.most) <= PLACES && counter_get(&c.total) > 0);
  CHECK(inflight_count(c.inflight, STR("key")) == 0);
  inflight_free(c.inflight);
}

IT("adds, reads and replaces a counter") {
  struct counter c = {0};
  CHECK(counter_add(&c, 5) == 5 && counter_add(&c, -7) == -2 && counter_get(&c) == -2);
  CHECK(counter_set(&c, 3) == -2 && counter_get(&c) == 3);
}
