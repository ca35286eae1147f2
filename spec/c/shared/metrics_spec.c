// SPDX-License-Identifier: Apache-2.0
#include "shared/metrics.h"

#include "unit.h"

IT("adds up what the workers have counted, without the control worker") {
  struct metrics *m = metrics_new(2);
  struct tally sum;
  for (unsigned i = 0; i <= 2; i++) {
    cell_add(&metrics_tally(m, i)->retries, i + 1);
    cell_add(&metrics_tally(m, i)->failures[ERROR_STOPPING], 1);
    histogram_add(&metrics_tally(m, i)->connect, 100);
  }
  metrics_sum(m, &sum);
  CHECK(cell_get(&sum.retries) == 3);
  CHECK(cell_get(&sum.failures[ERROR_STOPPING]) == 2);
  CHECK(histogram_count(&sum.connect) == 2);
  metrics_free(m);
}

IT("takes the slowest call of a hook, not the sum of the slowest") {
  struct metrics *m = metrics_new(2);
  struct tally sum;
  cell_set(&metrics_tally(m, 0)->hooks[1].slowest, 70);
  cell_set(&metrics_tally(m, 1)->hooks[1].slowest, 50);
  metrics_sum(m, &sum);
  CHECK(cell_get(&sum.hooks[1].slowest) == 70);
  metrics_free(m);
}

IT("keeps a listener's traffic under its name, each worker's apart") {
  struct metrics *m = metrics_new(2);
  struct traffic sum;
  struct str name;
  struct traffic *a0 = metrics_traffic(m, STR("a:80"), 0), *a1 = metrics_traffic(m, STR("a:80"), 1);
  struct traffic *b0 = metrics_traffic(m, STR("b:80"), 0);
  CHECK(a0 != a1 && a0 != b0 && metrics_traffic(m, STR("a:80"), 0) == a0);
  CHECK((uintptr_t)a0 % 64 == 0 && (uintptr_t)a1 % 64 == 0);
  cell_add(&a0->statuses[200], 2);
  cell_add(&a1->statuses[200], 3);
  cell_add(&b0->statuses[404], 1);
  CHECK(metrics_listener(m, 0, &name, &sum));
  CHECK_STR(name, "a:80");
  CHECK(cell_get(&sum.statuses[200]) == 5 && cell_get(&sum.statuses[404]) == 0);
  CHECK(metrics_listener(m, 1, &name, &sum));
  CHECK(cell_get(&sum.statuses[404]) == 1);
  CHECK(!metrics_listener(m, 2, &name, &sum));
  metrics_free(m);
}
