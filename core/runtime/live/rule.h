// SPDX-License-Identifier: Apache-2.0
// live/rule: what `perilune trace` was asked for, as it comes by the command socket: words with tabs between them.
#ifndef PERILUNE_RUNTIME_LIVE_RULE_H
#define PERILUNE_RUNTIME_LIVE_RULE_H

#include "base/str.h"
#include "exchange/live_trace.h"

struct live_wish {
  struct live_rule rule; /* its client is NULL */
  char client[64];       /* a network; "": any */
  unsigned count;        /* then it ends; 0: never */
};

/* "count=5\tfields=yes\tpath=/api*\tstatus=5xx\tslower=200ms\tclient=10.0.0.0/8\t..." False: *why is a malloc'd
 * message. */
bool live_wish_read(struct str line, struct live_wish *wish, char **why);
/* The rule for one worker: with a set of its own for the client's network. */
struct live_rule live_wish_rule(const struct live_wish *wish);

#endif
