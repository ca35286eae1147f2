// SPDX-License-Identifier: Apache-2.0
// account: what an exchange contributes to its worker's metrics. Each call is a handful of instructions.
#ifndef PERILUNE_EXCHANGE_ACCOUNT_H
#define PERILUNE_EXCHANGE_ACCOUNT_H

#include <stdint.h>

#include "base/error.h"
#include "base/ticks.h"
#include "exchange/hooks.h"

struct exchange;
struct traffic;

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
