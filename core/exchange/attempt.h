// SPDX-License-Identifier: Apache-2.0
// attempt: what belongs to one try of an exchange at one peer, and to nothing else of the exchange.
//
// An attempt begins when upstream_peer has chosen a peer, and ends in attempt_end: the lease ends, the connection goes
// back to the pool or is closed, the peer is released. What remains then, for the log and for the next attempt, is
// plain data: the address, the times, and the relay, which knows how far the request's body has been decoded.
//
// An exchange has one current attempt (`now`). Others may be set aside meanwhile, each as a copy of its struct: a
// slow one that may still answer first (hedge.c), and one whose error response is kept until there is a better one
// (elsewhere.c). So everything that an attempt owns must be reached by a pointer that stays valid when the struct is
// copied. A call knows its exchange, and whether it is that of the current attempt (x->now.call); it never points at
// the attempt.
#ifndef PERILUNE_EXCHANGE_ATTEMPT_H
#define PERILUNE_EXCHANGE_ATTEMPT_H

#include <stdbool.h>

#include "base/error.h"
#include "shared/lease.h"

struct attempt;
struct exchange;

/* Connects, or takes a connection that is there; x->now.connected says whether there is one already. */
void attempt_connect(struct exchange *x);
/* Makes the copy of the request, with what the proxy adds. */
void attempt_prepare(struct exchange *x);
void attempt_send(struct exchange *x);
/* The peer has done its part: its backend has one request less under way. */
void attempt_answered(struct exchange *x);
/* Ends the attempt: its connection goes back to the pool if `reusable`, the peer is released. Harmless without one. */
void attempt_end(struct exchange *x, bool reusable);
/* That a peer ends a connection which waited in the pool, or which others use, is no fault of it; nor what it says
 * that it does not take over HTTP/2. */
bool attempt_is_blameless(const struct exchange *x, enum error error);
/* May there be another attempt, as things stand? What the hook says counts where it is safe at all, else the
 * failure table. */
bool attempt_may_retry(struct exchange *x);
/* Takes a retry out of the set's budget; one that is safe is free where the set does not say otherwise. */
bool attempt_takes_retry(struct exchange *x, bool is_safe);

/* The attempt under way moves to `aside`. The next one begins with nothing but the retry that was taken for it, and
 * with the request's body from where this one has it. */
void attempt_set_aside(struct exchange *x, struct attempt *aside);
/* It is the one under way again, whose place it takes: that one ends, and what came of it is forgotten. */
void attempt_put_back(struct exchange *x, const struct attempt *aside);
/* One that stands aside ends; its connection is closed. */
void attempt_drop(struct exchange *x, struct attempt *aside, enum lease_outcome outcome);

#endif
