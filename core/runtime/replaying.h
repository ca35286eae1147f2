// SPDX-License-Identifier: Apache-2.0
// replaying: runs the requests of a recording through a policy, in this thread, without a network and in virtual time,
// and collects what it decides. A run begins with a policy that was loaded anew, at the time at which the recording
// began: so each run of the same policy decides the same.
#ifndef PERILUNE_RUNTIME_REPLAYING_H
#define PERILUNE_RUNTIME_REPLAYING_H

#include "exchange/replay.h"
#include "runtime/policy.h"
#include "shared/recording.h"

enum { REPLAY_PLACE_BYTES = 80, REPLAY_CHANGES_BYTES = 400 };

/* Which lines of the policy have come to a decision. */
struct replay_lines {
  char hooks[HOOK_COUNT][REPLAY_PLACE_BYTES]; /* the last of each hook that ran */
  char wait[REPLAY_PLACE_BYTES];              /* that waited first */
  char
      request[REPLAY_CHANGES_BYTES]; /* "X-Plan=policy.lua:12;": who has changed the request, the first few */
  char response[REPLAY_CHANGES_BYTES];
};

struct replay_run {
  struct recording *recording; /* borrowed */
  struct policy_source source;
  /* Called for each request, in order, with its number from 0. False ends the run. */
  bool (*on_decision)(void *owner, uint64_t number, const struct recorded *recorded,
                      const struct replay_decision *decision, const struct replay_lines *lines);
  /* Are the lines wanted of that request? NULL: of none. */
  bool (*wants_lines)(void *owner, uint64_t number);
  void *owner;
  uint64_t refused;  /* out: connections and lookups that hooks asked for */
  char message[512]; /* out: the last line that the policy logged as an error, for on_decision */
};

/* False: *why is a malloc'd sentence: the policy does not load, or a hook of it does not come to its end. */
bool replaying_run(struct replay_run *run, char **why);

#endif
