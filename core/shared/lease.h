// SPDX-License-Identifier: Apache-2.0
// lease: the reference of one attempt to its backend. It counts the attempt as current, and reports the result to the
// backend: how long the answer took, and whether it was a success. Part of the exchange; used by one thread.
#ifndef PERILUNE_SHARED_LEASE_H
#define PERILUNE_SHARED_LEASE_H

#include "shared/backends.h"

enum lease_outcome {
  LEASE_SERVED,  /* it answered; a 5xx counts as a failure all the same */
  LEASE_FAILED,  /* its fault */
  LEASE_NEUTRAL, /* nobody knows: the client went away, say */
};

struct lease {
  struct backends_view *view; /* reference; NULL: none */
  struct backend *backend;    /* lives while it is counted as under way */
  uint64_t begun_us;
  uint64_t answered_us; /* 0: not yet */
  unsigned status;      /* of the answer */
  bool pending;
  bool is_judged;              /* the policy has said that it failed */
  struct backends_view *retry; /* reference; the set in whose budget this attempt, or the next, is a retry */
  bool keeps_retry;            /* for the next */
};

/* `index` is a position in the view's list. An older lease ends, neutrally. */
void lease_begin(struct lease *lease, struct backends_view *view, unsigned index, uint64_t now_us);
/* There is a connection. */
void lease_connected(struct lease *lease);
/* The head of a response came. */
void lease_answered(struct lease *lease, unsigned status, uint64_t now_us);
/* The policy says that the backend has failed, however the request ends. False: no backend is asked just now. */
bool lease_judge_failed(struct lease *lease);
/* Harmless where there is none. */
void lease_end(struct lease *lease, enum lease_outcome outcome, uint64_t now_us);
/* Takes a retry out of the set's budget for the next attempt; before this one ends. False: it is used up. Unless
 * the rules count all, what was under way at a backend that is ejected by now is free. */
bool lease_take_retry(struct lease *lease);
/* The same for a request that no backend can have handled; out of the budget only where the rules say so. */
bool lease_take_safe_retry(struct lease *lease);
/* After it: the lease goes on, and the retry is that of `next`, which holds nothing else. */
void lease_pass_retry(struct lease *lease, struct lease *next);

#endif
