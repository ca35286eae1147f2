// SPDX-License-Identifier: Apache-2.0
// cache_status: the line that says how a cache handled a request (RFC 9211). Appended behind those of other caches.
#ifndef PERILUNE_HTTP_CACHE_STATUS_H
#define PERILUNE_HTTP_CACHE_STATUS_H

#include "base/arena.h"

/* Why a request went to the peer. X(ID, "token of the registry") */
#define CACHE_FORWARDS(X)                                                                                    \
  X(NONE, "") /* it did not: a hit */                                                                        \
  X(BYPASS, "bypass")                                                                                        \
  X(METHOD, "method")                                                                                        \
  X(URI_MISS, "uri-miss")                                                                                    \
  X(VARY_MISS, "vary-miss")                                                                                  \
  X(MISS, "miss")                                                                                            \
  X(REQUEST, "request")                                                                                      \
  X(STALE, "stale")                                                                                          \
  X(PARTIAL, "partial")

enum cache_forward {
#define X(id, name) CACHE_FORWARD_##id,
  CACHE_FORWARDS(X)
#undef X
};

struct cache_status {
  struct str cache;           /* the name of the cache: any printable ASCII */
  enum cache_forward forward; /* NONE: a hit */
  unsigned forward_status;    /* of the peer's answer; 0: unknown, or as sent */
  int64_t ttl_s;              /* what is left of its lifetime; below 0: it is stale */
  bool has_ttl, stored, collapsed;
  struct str key;    /* empty: not said */
  struct str detail; /* a token, like the name of a reason; empty: none */
};

/* The field's value, in arena memory. */
struct str cache_status_text(const struct cache_status *status, struct arena *arena);

#endif
