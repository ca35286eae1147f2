// SPDX-License-Identifier: Apache-2.0
// sums: loops over the tallies.
#include "runtime/observe/sums.h"

#include "base/ticks.h"
#include "runtime/server.h"
#include "shared/metrics.h"

struct names_sum names_sum(const struct server *s) {
  struct names_sum sum = {0};
  for (unsigned i = 0; i <= s->worker_count; i++) {
    const struct tally *t = metrics_tally(s->metrics, i);
    sum.lookups += cell_get(&t->names);
    sum.kept += cell_get(&t->names_kept);
    sum.stale += cell_get(&t->names_stale);
    sum.questions += cell_get(&t->name_questions);
    sum.failures += cell_get(&t->name_failures);
    if (cell_get(&t->name_servers_silent) > sum.silent) sum.silent = cell_get(&t->name_servers_silent);
  }
  return sum;
}

uint64_t background_sum(const struct server *s) {
  uint64_t count = 0;
  for (unsigned i = 0; i <= s->worker_count; i++)
    count += cell_get(&metrics_tally(s->metrics, i)->background);
  return count;
}

uint64_t vms_given_up_sum(const struct server *s) {
  uint64_t count = 0;
  for (unsigned i = 0; i <= s->worker_count; i++)
    count += cell_get(&metrics_tally(s->metrics, i)->vms_given_up);
  return count;
}

double hook_mean_us(const struct hook_tally *t) {
  uint64_t calls = cell_get(&t->calls);
  return calls ? (double)ticks_to_us(cell_get(&t->ticks)) / (double)calls : 0;
}
