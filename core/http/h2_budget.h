// SPDX-License-Identifier: Apache-2.0
// h2_budget: how much work for nothing the other side of an HTTP/2 connection may cause. HTTP/2 lets a peer ask for
// work that costs it next to nothing: streams that are reset at once (CVE-2023-44487), streams that it makes us reset
// (CVE-2025-8671), PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA, unknown frames, interim heads. Each is a token
// taken from a bucket, which fills with time and with honest work (a stream that was answered, DATA that moved). An
// empty bucket ends the connection with ENHANCE_YOUR_CALM.
#ifndef PERILUNE_HTTP_H2_BUDGET_H
#define PERILUNE_HTTP_H2_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

enum h2_cost {
  H2_COST_RESET, /* a stream that ended before its answer, by whoever's RST_STREAM, for the other side's doing */
  H2_COST_CONTROL /* a frame that carries neither head nor body */
};
enum { H2_COSTS = 2 };

/* Of a bucket: what it holds at most and to begin with, and how much a second adds. 0: unlimited. */
struct h2_allowance {
  unsigned burst, per_second;
};
#define H2_RESETS_DEFAULT                                                                                    \
  (struct h2_allowance) { 200, 20 }
#define H2_CONTROLS_DEFAULT                                                                                  \
  (struct h2_allowance) { 1000, 100 }

struct h2_budget {
  struct h2_allowance allowances[H2_COSTS];
  int64_t milli[H2_COSTS]; /* tokens left, in thousandths */
  uint64_t filled_ms;
};

void h2_budget_begin(struct h2_budget *budget, const struct h2_allowance allowances[H2_COSTS],
                     uint64_t now_ms);
/* False: there is none left. */
bool h2_budget_spend(struct h2_budget *budget, enum h2_cost cost, uint64_t now_ms);
/* Of honest work: so many tokens. */
void h2_budget_earn(struct h2_budget *budget, enum h2_cost cost, unsigned tokens);

#endif
