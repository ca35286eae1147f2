// SPDX-License-Identifier: Apache-2.0
// phase: two tables, without any state of their own.
#include "runtime/phase.h"

#include <stddef.h>

#define ABORT      "'perilune reload --abort' ends it"
#define BIT(phase) (1u << PHASE_##phase)

enum {
  ENDS = BIT(STOPPING) | BIT(ENDING),
  LEAVES = ENDS | BIT(RETIRING) /* a successor may have been started by somebody else */
};

/* What may follow. */
static const unsigned followers[PHASE_COUNT] = {
    [PHASE_STARTING] = BIT(LOADING) | BIT(SWITCHING) | LEAVES,
    [PHASE_SERVING] = BIT(LOADING) | BIT(SWITCHING) | BIT(CANARY) | BIT(SHADOW) | BIT(UPGRADING) | LEAVES,
    [PHASE_LOADING] = BIT(SERVING) | BIT(SWITCHING) | BIT(CANARY) | BIT(SHADOW) | LEAVES,
    [PHASE_SWITCHING] = BIT(SERVING) | BIT(UPGRADING) | LEAVES,
    [PHASE_CANARY] = BIT(SERVING) | BIT(SWITCHING) | LEAVES,
    [PHASE_SHADOW] = BIT(SERVING) | LEAVES,
    [PHASE_UPGRADING] = BIT(SERVING) | BIT(SWITCHING) | LEAVES,
    [PHASE_RETIRING] = ENDS,
    [PHASE_STOPPING] = BIT(ENDING),
    [PHASE_ENDING] = 0,
};

static const struct {
  const char *name, *obstacle, *way_out;
} phases[PHASE_COUNT] = {
    [PHASE_STARTING] = {"starting", "the proxy is starting", NULL},
    [PHASE_SERVING] = {"serving", NULL, NULL},
    [PHASE_LOADING] = {"loading", "a reload is under way already", ABORT},
    [PHASE_SWITCHING] = {"switching", "a reload is under way already", NULL},
    [PHASE_CANARY] = {"canary", "a canary is under way", ABORT},
    [PHASE_SHADOW] = {"shadow", "a shadow is under way", ABORT},
    [PHASE_UPGRADING] = {"upgrading", "an upgrade is under way", NULL},
    [PHASE_RETIRING] = {"retiring", "a successor serves already, and this process ends", NULL},
    [PHASE_STOPPING] = {"stopping", "the proxy is stopping", NULL},
    [PHASE_ENDING] = {"ending", "the proxy is stopping", NULL},
};

bool phase_may_follow(enum phase before, enum phase after) { return followers[before] >> after & 1; }

bool phase_is_over(enum phase phase) { return phase >= PHASE_RETIRING; }

const char *phase_name(enum phase phase) { return phases[phase].name; }

const char *phase_way_out(enum phase phase) { return phases[phase].way_out; }

bool phase_is_of_policy(enum phase phase) { return phase >= PHASE_LOADING && phase <= PHASE_SHADOW; }

const char *phase_refusal(enum phase phase, enum demand demand) {
  static const enum phase leads_to[DEMAND_COUNT] = {
      [DEMAND_RELOAD] = PHASE_LOADING,    [DEMAND_CANARY] = PHASE_LOADING,  [DEMAND_SHADOW] = PHASE_LOADING,
      [DEMAND_UPGRADE] = PHASE_UPGRADING, [DEMAND_RETIRE] = PHASE_RETIRING, [DEMAND_STOP] = PHASE_STOPPING,
      [DEMAND_STOP_NOW] = PHASE_ENDING,
  };
  if (phase_may_follow(phase, leads_to[demand])) return NULL;
  return phases[phase].obstacle;
}
