// SPDX-License-Identifier: Apache-2.0
// replay_report: how two decisions about the same request differ, in groups of the same difference.
#ifndef PERILUNE_CLI_REPLAY_REPORT_H
#define PERILUNE_CLI_REPLAY_REPORT_H

#include <stdio.h>

#include "runtime/replaying.h"

struct replay_group;
struct replay_detail;
struct replay_peers;

/* Begins zeroed. */
struct replay_report {
  bool is_recorded;            /* compared with the recording, which knows no fields and no waits */
  uint64_t refused;            /* connections that hooks asked for */
  struct replay_detail *first; /* owned: of the new policy, in order */
  struct replay_detail **last;
  struct replay_detail *at;    /* of these, the one that the other policy comes to next */
  struct replay_group *groups; /* owned */
  unsigned group_count;
  struct replay_peers *peers; /* owned */
  unsigned peer_count;
  const struct replay_run *run; /* borrowed: the one under way */
};

/* What the recording says of it; without texts. */
void replay_report_recorded(const struct recorded *recorded, struct replay_decision *was);
/* Counts whom a policy asks. */
void replay_report_peer(struct replay_report *report, const struct replay_decision *d, bool is_against);
/* A decision that differs: first all of the new policy, then, in the same order, all of the other. */
void replay_report_detail(struct replay_report *report, uint64_t number, const struct recorded *recorded,
                          const struct replay_decision *d, const struct replay_lines *lines, bool is_against);
void replay_report_print(const struct replay_report *report, FILE *out);
void replay_report_free(struct replay_report *report);

#endif
