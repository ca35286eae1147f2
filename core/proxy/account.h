// SPDX-License-Identifier: Apache-2.0
// account: what an exchange contributes to its worker's metrics. Each call is a handful of instructions.
#ifndef PERILUNE_PROXY_ACCOUNT_H
#define PERILUNE_PROXY_ACCOUNT_H

#include <stdint.h>
#include <time.h>

#include "base/error.h"
#include "base/str.h"
#include "base/ticks.h"
#include "proxy/hooks.h"

struct log_field;
struct traffic;

/* The metrics' part of an exchange. */
struct account {
  struct traffic *traffic;      /* borrowed from the metrics: of its listener */
  uint64_t head_bytes;          /* of the request, as received; 0: it could not be read */
  uint64_t began;               /* ticks */
  uint64_t hook_began;          /* ticks: of the one that waits */
  uint64_t first_byte_us;       /* of the last attempt that had one */
  uint64_t duration_us;         /* of the exchange, once it is over */
  time_t ended_at;              /* for the access log only, as is what follows */
  struct str listener;          /* arena; none where the client is gone */
  struct str peer;              /* arena: address of the last one asked */
  struct log_field *log_fields; /* arena: what the policy adds to the line */
};

void account_begin(struct exchange *x, struct traffic *traffic);
/* A connection to a peer was asked for: a pooled one (x->now.reused) or a new one, which begins to connect. */
void account_upstream(struct exchange *x);
void account_connected(struct exchange *x);
void account_first_byte(struct exchange *x);
void account_failure(struct exchange *x, enum error error);
/* An attempt at x->now.peer ends. */
void account_attempt(struct exchange *x);
/* A hook has ended that was called at `began` (ticks): what it waited counts. */
void account_hook(struct exchange *x, enum hook hook, uint64_t began, bool failed);
/* The exchange is over. */
void account_exchange(struct exchange *x);
/* Its line of the access log, once the policy has added all that it wants to. */
void account_line(struct exchange *x);

#endif
