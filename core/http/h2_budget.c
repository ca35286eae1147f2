// SPDX-License-Identifier: Apache-2.0
// h2_budget: two token buckets in one clock. Buckets fill when they are asked, so an idle connection needs no timer.
#include "http/h2_budget.h"

static void pour(struct h2_budget *b, int cost, int64_t milli) {
  int64_t most = (int64_t)b->allowances[cost].burst * 1000;
  b->milli[cost] = b->milli[cost] + milli > most ? most : b->milli[cost] + milli;
}

void h2_budget_begin(struct h2_budget *budget, const struct h2_allowance allowances[H2_COSTS],
                     uint64_t now_ms) {
  *budget = (struct h2_budget){.filled_ms = now_ms};
  for (int cost = 0; cost < H2_COSTS; cost++) {
    budget->allowances[cost] = allowances[cost];
    budget->milli[cost] = (int64_t)allowances[cost].burst * 1000;
  }
}

static void fill(struct h2_budget *b, uint64_t now_ms) {
  enum { LONGEST_MS = 3600 * 1000 }; /* fills any bucket, and keeps the product small */
  if (now_ms <= b->filled_ms) return;
  uint64_t passed = now_ms - b->filled_ms;
  b->filled_ms = now_ms;
  if (passed > LONGEST_MS) passed = LONGEST_MS;
  for (int cost = 0; cost < H2_COSTS; cost++) pour(b, cost, (int64_t)passed * b->allowances[cost].per_second);
}

bool h2_budget_spend(struct h2_budget *budget, enum h2_cost cost, uint64_t now_ms) {
  if (!budget->allowances[cost].burst) return true;
  fill(budget, now_ms);
  if (budget->milli[cost] < 1000) return false;
  budget->milli[cost] -= 1000;
  return true;
}

void h2_budget_earn(struct h2_budget *budget, enum h2_cost cost, unsigned tokens) {
  pour(budget, cost, (int64_t)tokens * 1000);
}
