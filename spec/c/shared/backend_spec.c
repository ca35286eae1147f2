// SPDX-License-Identifier: Apache-2.0
// Units for shared/backend and shared/lease: what an attempt leaves behind at its backend.
#include "shared/backend.h"

#include <math.h>

#include "set.h"
#include "threads.h"
#include "unit.h"

static double latency(struct set_under_test *t) {
  return backend_latency_us(backends_at(t->view, 0), t->clock.ms);
}

/* One attempt at the first backend. */
static void attempt(struct set_under_test *t, unsigned status, enum lease_outcome outcome, uint64_t us) {
  struct lease lease = {0};
  lease_begin(&lease, t->view, 0, 1000);
  lease_connected(&lease);
  if (status) lease_answered(&lease, status, 1000 + us);
  lease_end(&lease, outcome, 1000 + us + 50000); /* the body does not count */
}

IT("takes a peak for the average at once, and comes down slowly") {
  struct set_under_test t;
  set_open(&t, SET_PLAIN);
  CHECK(latency(&t) == 0);
  attempt(&t, 200, LEASE_SERVED, 1000);
  CHECK(latency(&t) == 1000);
  attempt(&t, 200, LEASE_SERVED, 9000);
  CHECK(latency(&t) == 9000);
  t.clock.ms += 10000;
  CHECK(fabs(latency(&t) - 9000 * exp(-1)) < 1);
  attempt(&t, 200, LEASE_SERVED, 1000);
  CHECK(fabs(latency(&t) - (9000 * exp(-1) + 1000 * (1 - exp(-1)))) < 1);
  set_close(&t);
}

IT("takes a failure for a second at least, so that failing fast draws nothing") {
  struct set_under_test t;
  set_open(&t, SET_PLAIN);
  attempt(&t, 0, LEASE_FAILED, 10);
  CHECK(latency(&t) == 1000000);
  attempt(&t, 0, LEASE_FAILED, 5000000);
  CHECK(latency(&t) == 5050000);
  set_close(&t);
}

IT("learns from an attempt that was given up only that it would have taken longer") {
  struct set_under_test t;
  set_open(&t, SET_PLAIN);
  attempt(&t, 200, LEASE_SERVED, 100000);
  attempt(&t, 0, LEASE_NEUTRAL, 10);
  CHECK(latency(&t) == 100000);
  attempt(&t, 0, LEASE_NEUTRAL, 200000);
  CHECK(latency(&t) == 250000);
  set_close(&t);
}

IT("counts failures in a row: errors of the backend and answers of 500 and more") {
  struct set_under_test t;
  set_open(&t, SET_PLAIN);
  t.view->rules.failures = 100;
  const struct backend *b = backends_at(t.view, 0);
  attempt(&t, 0, LEASE_FAILED, 1);
  attempt(&t, 503, LEASE_SERVED, 1);
  attempt(&t, 0, LEASE_NEUTRAL, 1);
  CHECK(b->failures == 2);
  attempt(&t, 404, LEASE_SERVED, 1);
  CHECK(b->failures == 0 && b->in_flight == 0 && b->pending == 0);
  set_close(&t);
}

IT("ends an older lease where a new one begins, and ends each once") {
  struct set_under_test t;
  struct lease lease = {0};
  set_open(&t, SET_PLAIN);
  lease_end(&lease, LEASE_FAILED, 0);
  lease_begin(&lease, t.view, 0, 0);
  lease_begin(&lease, t.view, 1, 0);
  CHECK(backends_at(t.view, 0)->in_flight == 0 && backends_at(t.view, 1)->in_flight == 1);
  CHECK(backends_at(t.view, 1)->pending == 1);
  lease_end(&lease, LEASE_SERVED, 0);
  lease_end(&lease, LEASE_SERVED, 0);
  CHECK(backends_at(t.view, 1)->in_flight == 0 && backends_at(t.view, 1)->pending == 0);
  set_close(&t);
}

static void observe_many(void *argument, unsigned thread) {
  struct set_under_test *t = argument;
  for (unsigned i = 1; i <= 10000; i++)
    backend_observe(backends_at(t->view, 0), thread * 10000 + i, t->clock.ms);
}

IT("loses no peak between threads") {
  struct set_under_test t;
  set_open(&t, SET_PLAIN);
  threads_run(observe_many, &t);
  CHECK(latency(&t) == THREADS * 10000);
  set_close(&t);
}
