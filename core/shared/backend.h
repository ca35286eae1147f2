// SPDX-License-Identifier: Apache-2.0
// backend: one address of a set, and what is known about it: health, current requests, latency, failures. All of it
// is atomics that any worker reads and writes; it stays when the set's list changes.
#ifndef PERILUNE_SHARED_BACKEND_H
#define PERILUNE_SHARED_BACKEND_H

#include <stdatomic.h>

#include "base/str.h"
#include "shared/orders.h"

/* What a policy says of all backends of a set. Each rule is off where its first number is 0. */
struct backend_rules {
  unsigned failures;      /* in a row: that many eject */
  unsigned error_percent; /* of the requests in a window: so many eject */
  unsigned window_ms, min_requests;
  unsigned eject_ms, eject_most_ms; /* the first time; each further time doubles it, up to ... */
  unsigned eject_percent;           /* of the set at most */
  unsigned panic_percent;           /* with fewer fit ones, the unfit are used too */
  unsigned slow_start_ms;           /* after a return the share grows for so long */
  unsigned max_in_flight, max_pending;
  unsigned retry_percent, retry_min; /* retries under way, of the requests under way */
  /* 1: that budget counts also the retries that are free otherwise: of what no backend can have handled, as a refused
   * connection, and of what was under way at a backend that is ejected by now. */
  unsigned retry_all;
  unsigned retry_on; /* RETRY_ON_FAILURE, and the bits of the statuses that are retried elsewhere */
};

/* What a set does where its policy says nothing: lua/perilune/balancer.lua and `perilune proxy` begin with it. */
extern const struct backend_rules backend_rules_default;

/* The statuses of an answer that another backend may be asked for instead, where the request may be sent twice (RFC
 * 9110 section 9.2.2). To add one: here. */
#define RETRY_STATUS_TABLE(X) X(401) X(403) X(404) X(408) X(425) X(429) X(500) X(501) X(502) X(503) X(504)
enum retry_bit {
  RETRY_BIT_FAILURE, /* the peer gave no answer: closed, broken or too late */
#define X(status) RETRY_BIT_##status,
  RETRY_STATUS_TABLE(X)
#undef X
};
enum { RETRY_ON_FAILURE = 1u << RETRY_BIT_FAILURE };
/* The bit of a status; 0: it cannot be retried. */
unsigned backend_retry_on(unsigned status);
/* Does an answer of this status count as a failure of the backend? 5xx does, except where the request is to blame. */
bool backend_status_is_failure(unsigned status);

struct backend {
  struct backend *next; /* in a bucket of its set */
  struct str address;   /* behind the struct */
  uint64_t hash;        /* of the address */
  unsigned listings;    /* lists that name it; under the set's lock */
  _Atomic bool healthy, checked;
  atomic_uint off;                /* of enum backend_off; 0: it may be used, where it is fit */
  atomic_uint ordered_weight;     /* by people; 0: the policy's */
  atomic_uint in_flight, pending; /* attempts under way; of these without a connection so far */
  atomic_uint failures;           /* in a row */
  atomic_uint ejections;          /* in a row */
  _Atomic uint64_t window;        /* of requests and errors; see backend.c */
  _Atomic uint64_t latency;       /* and when; see backend.c */
  _Atomic uint64_t ejected_until_ms, returned_ms; /* 0: not ejected, not returned */
};

/* Who has taken it out. */
enum backend_off { BACKEND_OFF_BY_POLICY = 1, BACKEND_DRAINED = 2, BACKEND_DISABLED = 4 };

enum backend_standing {
  BACKEND_FIT,
  BACKEND_RAMPING, /* fit, but back for a short time only */
  BACKEND_FULL,    /* fit, but at one of its limits */
  BACKEND_UNFIT    /* unhealthy or ejected */
};

struct backend *backend_new(struct str address, uint64_t hash);

/* Neither the policy nor people have taken it out. */
static inline bool backend_is_enabled(const struct backend *b) {
  return !atomic_load_explicit(&b->off, memory_order_relaxed);
}
/* What the policy says of it, which holds where people say nothing else. */
void backend_set_enabled(struct backend *b, bool enabled);
/* Takes over what people have said; whether its weight has changed. A return counts for slow start. */
bool backend_take_order(struct backend *b, struct order order, uint64_t now_ms);

/* Whether that changed anything. */
bool backend_set_healthy(struct backend *b, bool healthy, uint64_t now_ms);
/* Does it serve, as its checks and its results say? Ends an ejection whose time is over. */
bool backend_is_fit(struct backend *b, uint64_t now_ms);
/* Most are, and this takes no look at the clock. False: ask backend_standing. */
static inline bool backend_is_plainly_fit(const struct backend *b, const struct backend_rules *rules) {
  if (rules->max_in_flight || rules->max_pending) return false;
  return atomic_load_explicit(&b->healthy, memory_order_relaxed) &&
         !atomic_load_explicit(&b->ejected_until_ms, memory_order_relaxed) &&
         (!rules->slow_start_ms || !atomic_load_explicit(&b->returned_ms, memory_order_relaxed));
}
/* At one of its limits? */
bool backend_is_full(const struct backend *b, const struct backend_rules *rules);
enum backend_standing backend_standing(struct backend *b, const struct backend_rules *rules, uint64_t now_ms);
/* From 0 to 1 while slow start runs; 1 without. */
double backend_ramp(const struct backend *b, const struct backend_rules *rules, uint64_t now_ms);

/* Peak EWMA: a latency above the average replaces it, one below pulls it down, with a time constant of 10 s.
 * Without news it decays, so that a backend that was slow once is tried again. */
void backend_observe(struct backend *b, double latency_us, uint64_t now_ms);
/* 0: nothing is known. */
double backend_latency_us(const struct backend *b, uint64_t now_ms);

/* Takes note of a result. NULL, or in words the rule by which the backend is to be ejected now. */
const char *backend_report(struct backend *b, const struct backend_rules *rules, bool failed,
                           uint64_t now_ms);
/* Until when: a growing time from now. Its counts begin again. */
void backend_eject(struct backend *b, const struct backend_rules *rules, uint64_t now_ms);
bool backend_is_ejected(const struct backend *b, uint64_t now_ms);

#endif
