// SPDX-License-Identifier: Apache-2.0
// freshness: how long a response may be used, and how old it is (RFC 9111 section 4.2, RFC 5861). It is computed once,
// when the response came in, into a small struct that is kept beside it; a hit then only adds the time since.
//
//   age                corrected_initial_age when the head came in, plus the time since then
//   lifetime           seconds from s-maxage, max-age, Expires less Date, the policy, or a guess, in this order
//   grace              for how long it may be used stale: while it is fetched again, or if that fails
#ifndef PERILUNE_HTTP_FRESHNESS_H
#define PERILUNE_HTTP_FRESHNESS_H

#include "http/cache_control.h"
#include "http/message.h"

enum freshness_source {
  FRESHNESS_NONE, /* nothing says how long: it is stale at once */
  FRESHNESS_S_MAXAGE,
  FRESHNESS_MAX_AGE,
  FRESHNESS_EXPIRES,
  FRESHNESS_POLICY,
  FRESHNESS_GUESS /* of Last-Modified (section 4.2.2) */
};

/* Wall clock in ms since 1970: when the request went out, and when the response's head was in. */
struct freshness_times {
  int64_t request_ms, response_ms;
};

struct freshness_rules {
  bool guesses; /* from Last-Modified, where nothing else says how long */
  /* s-maxage implies proxy-revalidate (section 5.2.2.10): then there is no grace. Sites send both, and mean both: this
   * obeys them. */
  bool grace_beside_s_maxage;
  bool has_default;   /* else the next one is nothing */
  uint32_t default_s; /* the policy's lifetime for this status, where the response has none */
};

struct freshness {
  uint64_t initial_age_ms;
  uint32_t lifetime_s;
  uint32_t while_revalidate_s, if_error_s; /* grace behind the lifetime; 0: none */
  enum freshness_source source;
  bool is_validated_always; /* no-cache: not to be used without asking */
  bool is_never_stale;      /* not even when the peer cannot be reached (section 4.2.4) */
};

void freshness_of(struct freshness *f, const struct response *response, const struct cache_control *cc,
                  struct freshness_times times, const struct freshness_rules *rules);

/* `kept_ms`: how long the response has been kept, by a clock that does not jump. */
static inline uint64_t freshness_age_ms(const struct freshness *f, uint64_t kept_ms) {
  return f->initial_age_ms + kept_ms;
}
/* What is left of the lifetime; below 0: for how long it has been stale. */
static inline int64_t freshness_left_ms(const struct freshness *f, uint64_t kept_ms) {
  return (int64_t)f->lifetime_s * 1000 - (int64_t)freshness_age_ms(f, kept_ms);
}
/* May it be used without asking? */
static inline bool freshness_holds(const struct freshness *f, uint64_t kept_ms) {
  return !f->is_validated_always && freshness_left_ms(f, kept_ms) > 0;
}
/* For the Age field of an answer from the cache (section 5.1). */
uint32_t freshness_age_field(const struct freshness *f, uint64_t kept_ms);

/* The time of a field that stands alone and is a date. */
bool date_of(const struct headers *h, struct str name, int64_t now, int64_t *when);
/* May the lifetime of such a response be guessed (RFC 9110 section 15.1)? */
bool status_is_guessable(unsigned status);

#endif
