// SPDX-License-Identifier: Apache-2.0
// Units for shared/backends: lists, views, and what carries over.
#include "shared/backends.h"

#include "base/log.h"
#include "set.h"
#include "threads.h"
#include "unit.h"

static const struct backend_spec two[] = {{STR_INIT("1.1.1.1:80"), 5, 0}, {STR_INIT("new:80"), 1, 0}};

IT("keeps the order, addresses and weights it was given, and takes a weight of 0 for 1") {
  const struct backend_spec specs[] = {{STR_INIT("b:1"), 8, 0}, {STR_INIT("a:1"), 0, 0}};
  struct set_under_test t;
  set_open(&t, specs, 2);
  CHECK(backends_count(t.view) == 2 && backends_find(t.view, STR("c:1")) == BACKEND_NONE);
  CHECK_STR(backends_at(t.view, 0)->address, "b:1");
  CHECK_STR(backends_at(t.view, 1)->address, "a:1");
  CHECK(t.view->list->entries[0].weight == 8 && t.view->list->entries[1].weight == 1);
  CHECK(backends_find(t.view, STR("a:1")) == 1);
  set_close(&t);
}

IT("is nothing that a set without backends cannot do") {
  struct set_under_test t;
  set_open(&t, NULL, 0);
  CHECK(backends_count(t.view) == 0 && backends_ready_count(t.view) == 0);
  for (enum algorithm a = 0; a <= ALGORITHM_least_latency; a++)
    CHECK(set_choose(&t, a, "key") == BACKEND_NONE);
  set_close(&t);
  backends_free(NULL);
}

IT("tells whether health changed") {
  struct set_under_test t;
  set_open(&t, SET_PLAIN);
  CHECK(!backends_set_healthy(t.view, 0, true));
  CHECK(backends_set_healthy(t.view, 0, false));
  CHECK(!backends_set_healthy(t.view, 0, false) && backends_ready_count(t.view) == 2);
  CHECK(backends_set_healthy(t.view, 0, true) && backends_ready_count(t.view) == 3);
  set_close(&t);
}

IT("carries health, requests and latency over to a new list, by address") {
  struct set_under_test t;
  set_open(&t, SET_PLAIN);
  struct lease lease = {0};
  backends_set_healthy(t.view, B1, false);
  lease_begin(&lease, t.view, B1, 0);
  backend_observe(backends_at(t.view, B1), 5000, 1000000);
  backends_publish(t.set, two, 2);
  CHECK(backends_count(t.view) == 3); /* it has not looked */
  backends_look(t.view);
  CHECK(backends_count(t.view) == 2 && t.view->list->entries[0].weight == 5);
  const struct backend *carried = backends_at(t.view, 0);
  CHECK(!carried->healthy && carried->in_flight == 1 && backend_latency_us(carried, 1000000) == 5000);
  CHECK(backends_at(t.view, 1)->healthy && backends_at(t.view, 1)->in_flight == 0);
  lease_end(&lease, LEASE_SERVED, 1);
  CHECK(carried->in_flight == 0);
  set_close(&t);
}

IT("keeps a backend that left the list until its last request ended") {
  struct set_under_test t;
  set_open(&t, SET_PLAIN);
  struct lease lease = {0};
  lease_begin(&lease, t.view, B2, 0);
  backends_publish(t.set, two, 2);
  backends_look(t.view);
  CHECK(lease.backend->in_flight == 1);
  lease_end(&lease, LEASE_FAILED, 1);
  backends_publish(t.set, SET_PLAIN);
  backends_look(t.view);
  CHECK(backends_at(t.view, B2)->in_flight == 0);
  set_close(&t);
}

IT("takes the list that was said last: a published one, or a policy's changed one") {
  struct set_under_test t;
  set_open(&t, SET_PLAIN);
  backends_publish(t.set, two, 2);
  struct backends_view *same = backends_view(t.set, SET_PLAIN, NULL, 1);
  CHECK(backends_count(same) == 2);
  const struct backend_spec other[] = {{STR_INIT("other:80"), 1, 0}};
  struct backends_view *changed = backends_view(t.set, other, 1, NULL, 1);
  CHECK(backends_count(changed) == 1);
  backends_look(same);
  CHECK(backends_count(same) == 2); /* an older policy keeps what it had */
  backends_publish(t.set, two, 2);
  backends_look(changed);
  CHECK(backends_count(changed) == 2);
  backends_view_release(same);
  backends_view_release(changed);
  set_close(&t);
}

IT("gives a policy that is not in force the list that it states, and nobody else before it is") {
  struct set_under_test t;
  set_open(&t, SET_PLAIN);
  struct backends_view *staged = backends_stage(t.set, two, 2, NULL, 1),
                       *dropped = backends_stage(t.set, two, 2, NULL, 1);
  struct backends_view *same = backends_stage(t.set, SET_PLAIN, NULL, 1);
  backends_look(staged);
  CHECK(backends_count(staged) == 2 && staged->list == dropped->list && !same->is_staged);
  struct backends_view *onlooker = backends_watch(t.set);
  CHECK(backends_count(onlooker) == 3 && backends_count(same) == 3);
  backends_view_release(onlooker);
  backends_view_release(dropped);
  backends_publish(t.set, SET_PLAIN); /* by the policy in force */
  backends_look(staged);
  CHECK(backends_count(staged) == 2);
  backends_commit(staged);
  onlooker = backends_watch(t.set);
  CHECK(backends_count(onlooker) == 2 && backends_count(staged) == 2); /* said last */
  backends_publish(t.set, SET_PLAIN);
  backends_look(staged);
  CHECK(backends_count(staged) == 3);
  backends_view_release(onlooker);
  backends_view_release(same);
  backends_view_release(staged);
  set_close(&t);
}

IT("keeps a list that was published when a policy that states another one is dropped, and the first one "
   "loaded again") {
  struct set_under_test t;
  set_open(&t, SET_PLAIN);
  backends_publish(t.set, two, 2);
  backends_view_release(backends_stage(t.set, two, 1, NULL, 1));
  struct backends_view *again = backends_stage(t.set, SET_PLAIN, NULL, 1);
  backends_commit(again);
  CHECK(backends_count(again) == 2);
  backends_view_release(again);
  set_close(&t);
}

IT("lives as long as a view of it") {
  struct set_under_test t;
  set_open(&t, SET_PLAIN);
  backends_free(t.set);
  CHECK(set_choose(&t, ALGORITHM_round_robin, NULL) == B2);
  backends_view_release(t.view);
}

IT("starts backends that were not checked yet as it is told") {
  struct set_under_test t;
  set_open(&t, SET_PLAIN);
  backends_set_healthy(t.view, B1, true);
  backends_set_start(t.set, false);
  CHECK(backends_ready_count(t.view) == 1);
  backends_publish(t.set, two, 2);
  backends_look(t.view);
  CHECK(backends_ready_count(t.view) == 1 && backends_at(t.view, 0)->healthy);
  backends_set_start(t.set, true);
  CHECK(backends_ready_count(t.view) == 2);
  set_close(&t);
}

/* --- results ------------------------------------------------------------------------------------------- */

static const struct backend_rules rules = {
    .failures = 3, .eject_ms = 1000, .eject_most_ms = 4000, .eject_percent = 34};

static void fail(struct set_under_test *t, unsigned index, int times) {
  for (int i = 0; i < times; i++) backends_report(t->view, backends_at(t->view, index), true);
}

static bool is_out(struct set_under_test *t, unsigned index) {
  return !backend_is_fit(backends_at(t->view, index), t->clock.ms);
}

IT("ejects a backend after failures in a row, but never more than a share of the set") {
  struct set_under_test t;
  log_set_level(LOG_ERROR);
  set_open(&t, SET_PLAIN);
  t.view->rules = rules;
  fail(&t, 0, 2);
  backends_report(t.view, backends_at(t.view, 0), false);
  fail(&t, 0, 2);
  CHECK(!is_out(&t, 0));
  fail(&t, 0, 1);
  CHECK(is_out(&t, 0) && backends_ready_count(t.view) == 2);
  fail(&t, 1, 9);
  CHECK(!is_out(&t, 1));
  t.clock.ms += 1000;
  CHECK(!is_out(&t, 0));
  fail(&t, 1, 1);
  CHECK(is_out(&t, 1));
  set_close(&t);
  log_set_level(LOG_INFO);
}

IT("ejects for a time that doubles, up to its most, and begins anew after a good time") {
  struct set_under_test t;
  const unsigned times_ms[] = {1000, 2000, 4000, 4000};
  log_set_level(LOG_ERROR);
  set_open(&t, SET_PLAIN);
  t.view->rules = rules;
  for (int i = 0; i < 4; i++) {
    fail(&t, 0, 3);
    t.clock.ms += times_ms[i] - 1;
    CHECK(is_out(&t, 0));
    t.clock.ms += 1;
    CHECK(!is_out(&t, 0));
  }
  t.clock.ms += 4001;
  fail(&t, 0, 3);
  t.clock.ms += 1000;
  CHECK(!is_out(&t, 0));
  set_close(&t);
  log_set_level(LOG_INFO);
}

IT("ejects a backend for the share of errors in a window, once there were enough requests") {
  struct set_under_test t;
  log_set_level(LOG_ERROR);
  set_open(&t, SET_PLAIN);
  t.view->rules = (struct backend_rules){.error_percent = 50,
                                         .window_ms = 10000,
                                         .min_requests = 10,
                                         .eject_ms = 1000,
                                         .eject_most_ms = 4000,
                                         .eject_percent = 50};
  for (int i = 0; i < 9; i++) backends_report(t.view, backends_at(t.view, 0), i % 2);
  t.clock.ms += 10000; /* another window: the nine are forgotten */
  for (int i = 0; i < 9; i++) backends_report(t.view, backends_at(t.view, 0), i % 2 == 0);
  CHECK(!is_out(&t, 0));
  backends_report(t.view, backends_at(t.view, 0), true);
  CHECK(is_out(&t, 0));
  for (int i = 0; i < 100; i++) backends_report(t.view, backends_at(t.view, 1), i % 3 == 0);
  CHECK(!is_out(&t, 1));
  set_close(&t);
  log_set_level(LOG_INFO);
}

IT("has a budget for retries, as a share of the requests under way") {
  struct set_under_test t;
  struct lease leases[20] = {{0}};
  set_open(&t, SET_PLAIN);
  t.view->rules = (struct backend_rules){.retry_percent = 11, .retry_min = 1};
  for (int i = 0; i < 20; i++) lease_begin(&leases[i], t.view, 0, 0);
  CHECK(lease_take_retry(&leases[0]) && lease_take_retry(&leases[1]));
  CHECK(!lease_take_retry(&leases[2]));
  lease_end(&leases[0], LEASE_FAILED, 0); /* its retry goes on: */
  lease_begin(&leases[0], t.view, 1, 0);
  CHECK(!lease_take_retry(&leases[2]));
  CHECK(lease_take_retry(&leases[0])); /* the retry fails as well, and is the one to be retried */
  lease_end(&leases[0], LEASE_FAILED, 0);
  CHECK(!lease_take_retry(&leases[2]));
  lease_end(&leases[0], LEASE_NEUTRAL, 0); /* the exchange ends without another attempt */
  CHECK(lease_take_retry(&leases[2]));
  for (int i = 0; i < 20; i++) lease_end(&leases[i], LEASE_NEUTRAL, 0);
  for (int i = 0; i < 20; i++) lease_end(&leases[i], LEASE_NEUTRAL, 0);
  lease_begin(&leases[0], t.view, 1, 0);
  lease_begin(&leases[1], t.view, 1, 0);
  CHECK(lease_take_retry(&leases[0]) && !lease_take_retry(&leases[1])); /* one is the least */
  t.view->rules.retry_percent = 0;
  CHECK(lease_take_retry(&leases[1])); /* no budget, no limit */
  for (int k = 0; k < 4; k++) lease_end(&leases[k % 2], LEASE_SERVED, 0);
  set_close(&t);
}

IT("moves what was under way at an ejected backend without a budget, unless the rules count all") {
  struct set_under_test t;
  struct lease leases[20] = {{0}};
  log_set_level(LOG_ERROR);
  set_open(&t, SET_PLAIN);
  t.view->rules = (struct backend_rules){.retry_percent = 5,
                                         .retry_min = 1,
                                         .failures = 3,
                                         .eject_ms = 10000,
                                         .eject_most_ms = 10000,
                                         .eject_percent = 50};
  for (int i = 0; i < 20; i++) lease_begin(&leases[i], t.view, (unsigned)i % 2, 0);
  CHECK(lease_take_retry(&leases[0]) && !lease_take_retry(&leases[2]));
  for (int i = 0; i < 6; i += 2) lease_end(&leases[i], LEASE_FAILED, 0);
  CHECK(is_out(&t, 0));
  for (int i = 6; i < 20; i += 2) CHECK(lease_take_retry(&leases[i]));
  CHECK(!lease_take_retry(&leases[1]));
  t.view->rules.retry_all = 1;
  CHECK(!lease_take_retry(&leases[6]));
  for (int k = 0; k < 40; k++) lease_end(&leases[k % 20], LEASE_NEUTRAL, 0);
  set_close(&t);
  log_set_level(LOG_INFO);
}

/* --- threads ------------------------------------------------------------------------------------------- */

/* One thread publishes lists while the others choose and lease. */
static void use_or_publish(void *argument, unsigned thread) {
  struct set_under_test *t = argument;
  if (thread == 0) {
    for (int i = 0; i < 500; i++) backends_publish(t->set, i % 2 ? set_plain : two, i % 2 ? 3 : 2);
    return;
  }
  struct backends_view *view = backends_view(t->set, SET_PLAIN, &rules, thread);
  struct lease leases[8] = {{0}};
  for (unsigned i = 0; i < 5000; i++) {
    struct choice choice = {.key = {(const char *)&i, sizeof i}};
    backends_look(view);
    int index = backends_choose(view, i % (ALGORITHM_least_latency + 1), &choice);
    if (index != BACKEND_NONE) lease_begin(&leases[i % 8], view, (unsigned)index, i);
  }
  for (int i = 0; i < 8; i++) lease_end(&leases[i], LEASE_SERVED, 0);
  backends_view_release(view);
}

IT("changes its list while other threads choose from it") {
  struct set_under_test t;
  set_open(&t, SET_PLAIN);
  threads_run(use_or_publish, &t);
  backends_look(t.view);
  for (unsigned i = 0; i < backends_count(t.view); i++)
    CHECK(backends_at(t.view, i)->in_flight == 0 && backends_at(t.view, i)->pending == 0);
  set_close(&t);
}
