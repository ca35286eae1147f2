// SPDX-License-Identifier: Apache-2.0
// canary: a reload on trial. The next generation gets a share of the new exchanges for a while; it is
// compared with the one in force by script errors, answers of 500 and more, and latency; then it is put in
// force everywhere, or dropped.
#ifndef PERILUNE_RUNTIME_CANARY_H
#define PERILUNE_RUNTIME_CANARY_H

#include <stdbool.h>

struct canary;
struct policy_tally;
struct server;
struct worker;

struct canary_options {
  unsigned share;      /* of 10,000 exchanges */
  unsigned for_ms;     /* how long, if nothing speaks against it before */
  unsigned max_errors; /* of 10,000: how many more may fail than with the policy in force (1 %) */
  /* It has ended, before anything else begins; `why` it was not taken is borrowed. NULL: nobody wants to know. */
  void (*on_end)(struct server *server, bool fine, const char *why);
};

/* Begins, with loading; the outcome is logged and told to the client that waits on the command socket. False: *why is
 * a malloc'd message, and nothing has begun. */
bool canary_start(struct server *server, const struct canary_options *options, char **why);
/* What speaks against the policy that is tried, as words for people; NULL: nothing does. `max_errors` is of 10,000.
 * Before it `is_over` only what can hardly be chance. */
const char *canary_fault(const struct policy_tally *in_force, const struct policy_tally *tried,
                         unsigned max_errors, bool is_over);
/* Rolls it back at once, whatever is known of it. */
void canary_abort(struct canary *canary);
/* Drops it without a verdict. NULL is fine. */
void canary_free(struct canary *canary);
/* Before the worker runs: what it answers comes here. */
void canary_heed(struct worker *worker);

#endif
