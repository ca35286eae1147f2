// SPDX-License-Identifier: Apache-2.0
// Units for shared/limiter, on a clock that stands still.
#include "shared/limiter.h"

#include <stdatomic.h>

#include "threads.h"
#include "unit.h"

struct bench {
  struct clock_fake clock;
  struct limiter *limiter;
};

static void open(struct bench *b, enum limiter_kind kind, unsigned max, unsigned burst) {
  struct limiter_rules rules = {kind, max, burst, 1000, 1024};
  clock_fake_init(&b->clock, 1000000);
  b->limiter = limiter_new(&rules, &b->clock.clock);
}

static struct limiter_verdict take(struct bench *b) { return limiter_take(b->limiter, STR("key")); }

static unsigned pass(struct bench *b, unsigned tries) {
  unsigned passed = 0;
  for (unsigned i = 0; i < tries; i++) passed += take(b).passes;
  return passed;
}

IT("lets a burst pass, and then one for each share of the interval") {
  struct bench b;
  open(&b, LIMITER_BUCKET, 10, 5);
  struct limiter_verdict first = take(&b);
  CHECK(first.passes && first.remaining == 4 && first.reset_ms == 100 && first.retry_ms == 0);
  CHECK(pass(&b, 10) == 4);
  struct limiter_verdict refused = take(&b);
  CHECK(!refused.passes && refused.remaining == 0 && refused.retry_ms == 100 && refused.reset_ms == 500);
  b.clock.ms += 99;
  CHECK(pass(&b, 10) == 0 && take(&b).retry_ms == 1);
  b.clock.ms += 1;
  CHECK(pass(&b, 10) == 1);
  b.clock.ms += 250;
  CHECK(pass(&b, 10) == 2);
  b.clock.ms += 3600000;
  CHECK(pass(&b, 10) == 5);
  limiter_free(b.limiter);
}

IT("passes one at a time where the burst is one") {
  struct bench b;
  open(&b, LIMITER_BUCKET, 2, 1);
  CHECK(pass(&b, 5) == 1);
  b.clock.ms += 500;
  CHECK(pass(&b, 5) == 1 && take(&b).retry_ms == 500);
  limiter_free(b.limiter);
}

IT("counts the last window in part") {
  struct bench b;
  open(&b, LIMITER_WINDOW, 10, 1);
  struct limiter_verdict first = take(&b);
  CHECK(first.passes && first.remaining == 9 && first.reset_ms == 1000);
  CHECK(pass(&b, 20) == 9);
  b.clock.ms += 999;
  CHECK(pass(&b, 20) == 0);
  b.clock.ms += 1; /* the next window: all ten still count */
  uint64_t retry_ms = take(&b).retry_ms;
  CHECK(pass(&b, 20) == 0 && (retry_ms == 100 || retry_ms == 101));
  b.clock.ms += 101;
  CHECK(pass(&b, 20) == 1);
  b.clock.ms += 399; /* half of them */
  CHECK(pass(&b, 20) == 4);
  b.clock.ms += 1500; /* the window between is of five, by now of none */
  CHECK(pass(&b, 20) == 10);
  b.clock.ms += 5000;
  CHECK(pass(&b, 20) == 10);
  limiter_free(b.limiter);
}

IT("says in how long the next one passes, and then it does") {
  for (unsigned start = 0; start < 1000; start += 37) {
    struct bench b;
    open(&b, LIMITER_WINDOW, 3, 1);
    b.clock.ms += start;
    CHECK(pass(&b, 9) == 3);
    uint64_t retry_ms = take(&b).retry_ms;
    b.clock.ms += retry_ms - 2;
    CHECK(pass(&b, 1) == 0);
    b.clock.ms += 2;
    CHECK(pass(&b, 1) == 1);
    limiter_free(b.limiter);
  }
}

IT("keeps keys apart, and forgets the one that matters least where there is no room") {
  struct limiter_rules rules = {LIMITER_BUCKET, 1, 1, 1000, 8};
  struct clock_fake clock;
  clock_fake_init(&clock, 5000);
  struct limiter *limiter = limiter_new(&rules, &clock.clock);
  for (char key = 'a'; key <= 'h'; key++) {
    CHECK(limiter_take(limiter, (struct str){&key, 1}).passes);
    clock.ms++;
  }
  CHECK(limiter_take(limiter, STR("i")).passes); /* takes the place of a, which began first */
  for (char key = 'b'; key <= 'i'; key++) CHECK(!limiter_take(limiter, (struct str){&key, 1}).passes);
  CHECK(limiter_take(limiter, STR("a")).passes);
  limiter_free(limiter);
  limiter_free(NULL);
}

struct crowd {
  struct bench bench;
  atomic_uint passed;
};

static void rush(void *argument, unsigned thread) {
  struct crowd *crowd = argument;
  (void)thread;
  for (int i = 0; i < 2000; i++) atomic_fetch_add(&crowd->passed, take(&crowd->bench).passes);
}

IT("lets exactly as many pass as it may, whatever the number of threads") {
  for (enum limiter_kind kind = LIMITER_WINDOW; kind <= LIMITER_BUCKET; kind++) {
    struct crowd crowd = {.passed = 0};
    open(&crowd.bench, kind, 1000, 1000);
    threads_run(rush, &crowd);
    CHECK(crowd.passed == 1000);
    limiter_free(crowd.bench.limiter);
  }
}
