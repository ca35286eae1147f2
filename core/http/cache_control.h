// SPDX-License-Identifier: Apache-2.0
// cache_control: what a message says of caching (RFC 9111 section 5.2, RFC 5861, RFC 8246), and what its targeted
// fields say in place of that (RFC 9213). One struct of numbers and bits: no text is kept.
//
// Where the field is in doubt it restricts and never permits: of repeated seconds the strictest count, seconds that are
// none are 0, and a member with something odd behind its name counts if it restricts.
#ifndef PERILUNE_HTTP_CACHE_CONTROL_H
#define PERILUNE_HTTP_CACHE_CONTROL_H

#include "http/headers.h"

/* X(ID, name, kind). LEAST, MOST: seconds, of which the smallest or the largest count; an argument that is none is
 * 0, or as much as there is. GRACE: seconds that permit something: what is no number is ignored. STALE: the same,
 * but without an argument it is as much as there is. RESTRICTS, PERMITS: no argument; one that is there is
 * ignored, also the names of fields behind no-cache and private, which then hold for the whole response. */
#define CACHE_DIRECTIVES(X)                                                                                  \
  X(MAX_AGE, "max-age", LEAST)                                                                               \
  X(S_MAXAGE, "s-maxage", LEAST)                                                                             \
  X(MIN_FRESH, "min-fresh", MOST)                                                                            \
  X(MAX_STALE, "max-stale", STALE)                                                                           \
  X(STALE_WHILE_REVALIDATE, "stale-while-revalidate", GRACE)                                                 \
  X(STALE_IF_ERROR, "stale-if-error", GRACE)                                                                 \
  X(NO_STORE, "no-store", RESTRICTS)                                                                         \
  X(NO_CACHE, "no-cache", RESTRICTS)                                                                         \
  X(PRIVATE, "private", RESTRICTS)                                                                           \
  X(MUST_REVALIDATE, "must-revalidate", RESTRICTS)                                                           \
  X(PROXY_REVALIDATE, "proxy-revalidate", RESTRICTS)                                                         \
  X(NO_TRANSFORM, "no-transform", RESTRICTS)                                                                 \
  X(ONLY_IF_CACHED, "only-if-cached", RESTRICTS)                                                             \
  X(PUBLIC, "public", PERMITS)                                                                               \
  X(MUST_UNDERSTAND, "must-understand", PERMITS)                                                             \
  X(IMMUTABLE, "immutable", PERMITS)

enum cache_directive {
#define X(id, name, kind) CACHE_##id,
  CACHE_DIRECTIVES(X)
#undef X
      CACHE_DIRECTIVE_COUNT,
  CACHE_SECONDS = CACHE_NO_STORE /* those before it have seconds */
};

/* Above what can be told apart it is this (RFC 9111 section 1.2.2). */
#define CACHE_SECONDS_MOST (UINT32_C(1) << 31)

struct cache_control {
  uint32_t present; /* a bit per directive */
  uint32_t seconds[CACHE_SECONDS];
  bool is_targeted; /* from a targeted field: then Expires does not count either (RFC 9213 section 2.1) */
};

static inline bool cache_control_has(const struct cache_control *cc, enum cache_directive directive) {
  return (cc->present >> directive & 1) != 0;
}

/* What Cache-Control says; without it, `Pragma: no-cache` of a request is no-cache (RFC 9111 section 5.4). */
void cache_control_of_request(const struct headers *h, struct cache_control *cc);
/* The first of `targets` that is there and whole, in their order, else Cache-Control. The arena is for a targeted field
 * of several lines. */
void cache_control_of_response(const struct headers *h, const struct str *targets, unsigned count,
                               struct arena *arena, struct cache_control *cc);

/* The number, or the nearest that delta-seconds can be: 0, or CACHE_SECONDS_MOST. */
static inline uint32_t delta_seconds_of(int64_t number) {
  return number < 0 ? 0 : number > CACHE_SECONDS_MOST ? CACHE_SECONDS_MOST : (uint32_t)number;
}
/* delta-seconds (RFC 9111 section 1.2.2); false: it is none. */
bool delta_seconds_parse(struct str text, uint32_t *seconds);

#endif
