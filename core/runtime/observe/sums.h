// SPDX-License-Identifier: Apache-2.0
// sums: sums over the workers' tallies that status, status.json and the metrics all need. The control worker's is
// included, since discovery, health checks and timers run there.
#ifndef PERILUNE_RUNTIME_SUMS_H
#define PERILUNE_RUNTIME_SUMS_H

#include <stdint.h>

struct hook_tally;
struct server;

struct names_sum {
  uint64_t lookups, kept, stale; /* of the lookups, answered from memory; of these, beyond their time */
  uint64_t questions, failures;  /* sent to name servers; of these, without an answer */
  uint64_t silent;               /* name servers that do not answer at the moment */
};

struct names_sum names_sum(const struct server *server);
/* Runs of after, every and spawn under way. */
uint64_t background_sum(const struct server *server);
/* VMs that were given up, or had no memory left, so that the policy was loaded again. */
uint64_t vms_given_up_sum(const struct server *server);
/* 0 before the first call. */
double hook_mean_us(const struct hook_tally *tally);

#endif
