// SPDX-License-Identifier: Apache-2.0
// attempt: what belongs to one try of an exchange at one peer, and to nothing else of the exchange.
//
// An attempt begins when upstream_peer has chosen a peer, and ends in attempt_end: the lease ends, the connection goes
// back to the pool or is closed, the peer is released. What remains then, for the log and for the next attempt, is
// plain data: the address, the times, and the relay, which knows how far the request's body has been decoded.
//
// An exchange has one attempt under way (`now`). Others may stand aside meanwhile, each whole and by value: a slow one
// that may still answer first (hedge.c), and one whose answer of error is kept until there is a better one
// (elsewhere.c). So whatever an attempt owns must be reached by a pointer that stays right when the struct is copied.
// A call knows its exchange, and whether it is that of the attempt under way (x->now.call); it never points at the
// attempt.
#ifndef PERILUNE_PROXY_ATTEMPT_H
#define PERILUNE_PROXY_ATTEMPT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "http/message.h"
#include "proxy/deadline.h"
#include "proxy/relay.h"
#include "shared/lease.h"

struct call;
struct exchange;
struct peer;

struct attempt_times { /* ms on the loop's clock; 0: not reached */
  uint64_t connect_begun, connected, request_sent, first_byte;
};

/* In the order of use, as struct exchange. */
struct attempt {
  struct peer *peer; /* reference, from upstream_peer to the end */
  struct call *call; /* owned, from connecting to the end */
  bool connected;
  bool reused;             /* the connection is from the pool */
  bool readable;           /* the peer has sent something: the head is worth reading */
  unsigned hedge_ms;       /* without an answer for so long, another peer is asked as well; 0: never */
  struct clock_hand clock; /* what the peer owes */
  uint64_t head_due_ms;    /* of the response head that is awaited; 0: it is not */
  uint64_t heads_until_ms; /* interim responses put head_due_ms back, but not beyond this; 0: not yet known */
  uint64_t hedge_due_ms;   /* when another peer is asked as well; 0: never */
  uint64_t began;          /* ticks: connecting, later sending the request */
  struct attempt_times times;
  struct lease lease;     /* of the backend; upstream_peer may begin it, attempt_end ends it */
  struct request request; /* the copy that upstream_request_filter edits */
  struct relay up;        /* the request's body, to the peer */
  struct str address;     /* arena; of the last attempt, as the policy wrote it */
};

/* Connects, or takes a connection that is there; x->now.connected says whether there is one already. */
void attempt_connect(struct exchange *x);
/* Makes the copy of the request, with what the proxy adds. */
void attempt_prepare(struct exchange *x);
void attempt_send(struct exchange *x);
/* The peer has done its part: its backend has one request less under way. */
void attempt_answered(struct exchange *x);
/* Ends the attempt: its connection goes back to the pool if `reusable`, the peer is released. Harmless without one. */
void attempt_end(struct exchange *x, bool reusable);
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
