// SPDX-License-Identifier: Apache-2.0
// Units for shared/inflight and shared/counter.
#include "shared/inflight.h"

#include <stdlib.h>

#include "shared/counter.h"
#include "threads.h"
#include "unit.h"

IT("counts what is under way up to a maximum, by key") {
  struct inflight *i = inflight_new(64);
  struct inflight_hold first, hold;
  CHECK(inflight_acquire(i, STR("a"), 2, &first) == 1);
  CHECK(inflight_acquire(i, STR("a"), 2, &hold) == 2);
  CHECK(inflight_acquire(i, STR("a"), 2, &hold) == -2);
  CHECK(inflight_acquire(i, STR("b"), 2, &hold) == 1);
  CHECK(inflight_count(i, STR("a")) == 2);
  inflight_release(i, &first);
  CHECK(inflight_count(i, STR("a")) == 1 && inflight_count(i, STR("b")) == 1);
  inflight_release(i, &first); /* of no effect */
  CHECK(inflight_count(i, STR("a")) == 1);
  CHECK(inflight_acquire(i, STR("a"), 2, &hold) == 2);
  inflight_free(i);
}

IT("lets nothing under way where the maximum is 0") {
  struct inflight *i = inflight_new(64);
  struct inflight_hold hold;
  CHECK(inflight_acquire(i, STR("a"), 0, &hold) == 0);
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
    struct inflight_hold hold;
    if (inflight_acquire(c->inflight, STR("key"), PLACES, &hold) <= 0) continue;
    int64_t now = counter_add(&c->inside, 1);
    if (now > counter_get(&c->most)) counter_set(&c->most, now);
    counter_add(&c->inside, -1);
    counter_add(&c->total, 1);
    inflight_release(c->inflight, &hold);
  }
}

IT("never lets more threads in than there are places, and counts down to nothing") {
  struct contest c = {.inflight = inflight_new(64)};
  threads_run(compete, &c);
  CHECK(counter_get(&c.most) <= PLACES && counter_get(&c.total) > 0);
  CHECK(inflight_count(c.inflight, STR("key")) == 0);
  inflight_free(c.inflight);
}

static struct str numbered(char text[32], unsigned number) {
  memcpy(text, &number, sizeof number);
  return (struct str){text, sizeof number};
}

IT("counts a million keys under way exactly where there is room for them, and gives their memory to the "
   "next") {
  enum { MILLION = 1000000 };
  struct inflight *i = inflight_new(MILLION);
  struct inflight_hold *holds = malloc(MILLION * sizeof *holds);
  char text[32];
  unsigned wrong = 0;
  for (unsigned n = 0; n < MILLION; n++) wrong += inflight_acquire(i, numbered(text, n), 1, &holds[n]) != 1;
  CHECK(wrong == 0 && inflight_uncounted(i) == 0);
  struct inflight_hold hold;
  for (unsigned n = 0; n < MILLION; n++) wrong += inflight_acquire(i, numbered(text, n), 1, &hold) != -1;
  CHECK(wrong == 0);
  size_t bytes = inflight_bytes(i);
  for (unsigned n = 0; n < MILLION; n++) inflight_release(i, &holds[n]);
  for (unsigned n = 0; n < MILLION; n++) wrong += inflight_count(i, numbered(text, n)) != 0;
  CHECK(wrong == 0);
  CHECK(inflight_acquire(i, STR("next"), 1, &hold) == 1 && inflight_bytes(i) <= bytes);
  free(holds);
  inflight_free(i);
}

IT("lets pass what it has no room for, counts that, and keeps what is under way") {
  enum { KEYS = 10, MORE = 1000 };
  struct inflight *i = inflight_new(KEYS);
  struct inflight_hold holds[KEYS], hold, again;
  char text[32];
  unsigned wrong = 0;
  for (unsigned n = 0; n < KEYS; n++) inflight_acquire(i, numbered(text, n), 1, &holds[n]);
  for (unsigned n = KEYS; n < MORE; n++) {
    wrong += inflight_acquire(i, numbered(text, n), 1, &hold) != 1;
    inflight_release(i, &hold);
  }
  CHECK(wrong == 0 && inflight_uncounted(i) == MORE - KEYS);
  for (unsigned n = 0; n < KEYS; n++) wrong += inflight_acquire(i, numbered(text, n), 1, &hold) != -1;
  CHECK(wrong == 0);
  inflight_acquire(i, STR("late"), 1, &hold);
  inflight_release(i, &holds[0]);
  CHECK(inflight_acquire(i, STR("late"), 1, &again) == 1); /* the one before was not counted, */
  inflight_release(i, &hold);                              /* so its end takes nothing away */
  CHECK(inflight_count(i, STR("late")) == 1);
  inflight_free(i);
}

IT("adds, reads and replaces a counter") {
  struct counter c = {0};
  CHECK(counter_add(&c, 5) == 5 && counter_add(&c, -7) == -2 && counter_get(&c) == -2);
  CHECK(counter_set(&c, 3) == -2 && counter_get(&c) == 3);
}
