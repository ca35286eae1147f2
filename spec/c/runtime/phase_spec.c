// SPDX-License-Identifier: Apache-2.0
// Units for runtime/phase: the state machine as a whole.
#include "runtime/phase.h"

#include "unit.h"

IT("says why for each demand that it refuses, in every phase") {
  for (enum phase phase = 0; phase < PHASE_COUNT; phase++)
    for (enum demand demand = 0; demand < DEMAND_COUNT; demand++) {
      const char *why = phase_refusal(phase, demand);
      CHECK(!why || strlen(why) > 10);
    }
}

IT("takes every demand while it serves, but for none that is under way does it begin a second") {
  for (enum demand demand = 0; demand < DEMAND_COUNT; demand++) CHECK(!phase_refusal(PHASE_SERVING, demand));
  for (enum demand demand = DEMAND_RELOAD; demand <= DEMAND_UPGRADE; demand++)
    for (enum phase phase = PHASE_LOADING; phase < PHASE_COUNT; phase++)
      CHECK(phase_refusal(phase, demand) || (phase == PHASE_SWITCHING && demand == DEMAND_UPGRADE));
}

IT("can be stopped in every phase, and at once also while it stops") {
  for (enum phase phase = 0; phase < PHASE_STOPPING; phase++) CHECK(!phase_refusal(phase, DEMAND_STOP));
  for (enum phase phase = 0; phase < PHASE_ENDING; phase++) CHECK(!phase_refusal(phase, DEMAND_STOP_NOW));
  CHECK(phase_refusal(PHASE_STOPPING, DEMAND_STOP));
  CHECK(phase_refusal(PHASE_ENDING, DEMAND_STOP_NOW));
}

IT("comes back from no end") {
  for (enum phase before = PHASE_RETIRING; before < PHASE_COUNT; before++)
    for (enum phase after = 0; after < PHASE_COUNT; after++)
      CHECK(!phase_may_follow(before, after) || (phase_is_over(after) && after > before));
}
