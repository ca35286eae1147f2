// SPDX-License-Identifier: Apache-2.0
// phase: the state machine of the process, and which commands are possible in each state. Commands and signals come
// in any order; only this file decides whether one can be carried out now.
//
//   STARTING -> SWITCHING -> SERVING -> LOADING -> SWITCHING | CANARY | SHADOW | SERVING
//   SERVING | SWITCHING -> UPGRADING -> RETIRING (a successor serves) | SERVING | SWITCHING (it failed)
//   any of them -> STOPPING -> ENDING
//
// Workers that have not switched within the limit do not hold up the phase: see runtime/deploy/switching.
#ifndef PERILUNE_RUNTIME_PHASE_H
#define PERILUNE_RUNTIME_PHASE_H

#include <stdbool.h>

enum phase {
  PHASE_STARTING,
  PHASE_SERVING,
  PHASE_LOADING,   /* the next policy */
  PHASE_SWITCHING, /* the workers go over to it */
  PHASE_CANARY,
  PHASE_SHADOW,
  PHASE_UPGRADING, /* a successor starts */
  PHASE_RETIRING,  /* a successor serves; this process ends what it has */
  PHASE_STOPPING,  /* gracefully */
  PHASE_ENDING,    /* at once */
  PHASE_COUNT
};

enum demand {
  DEMAND_RELOAD,
  DEMAND_CANARY,
  DEMAND_SHADOW,
  DEMAND_UPGRADE,
  DEMAND_RETIRE,
  DEMAND_STOP,
  DEMAND_STOP_NOW,
  DEMAND_COUNT
};

/* Why it cannot be done now, as words for people; NULL: it can. */
const char *phase_refusal(enum phase phase, enum demand demand);
/* What ends the obstacle, as a sentence; NULL: it ends by itself. */
const char *phase_way_out(enum phase phase);
/* Is it about another policy that is to come into force? */
bool phase_is_of_policy(enum phase phase);
/* For checks: is there such a step in the state machine? */
bool phase_may_follow(enum phase before, enum phase after);
/* The policy serves, and nothing that ends it has begun. */
bool phase_is_over(enum phase phase);
/* "canary", for status and logs. */
const char *phase_name(enum phase phase);

#endif
