// SPDX-License-Identifier: Apache-2.0
// reuse: how a stored response that matches a request may be used (RFC 9111 section 4, RFC 5861), and what an unsafe
// request does to it (section 4.4).
#ifndef PERILUNE_HTTP_REUSE_H
#define PERILUNE_HTTP_REUSE_H

#include "http/freshness.h"

enum reuse {
  REUSE_FRESH,            /* answer with it */
  REUSE_WHILE_REVALIDATE, /* answer with it, and fetch it again meanwhile */
  REUSE_VALIDATE,         /* ask the peer first: it is stale */
  REUSE_ASKED             /* ask the peer first: the client wants it so */
};

struct reuse_rules {
  /* max-age, min-fresh, max-stale and no-cache of the client; else it cannot bypass the cache. */
  bool obeys_request;
};

enum reuse reuse_decide(const struct freshness *f, uint64_t kept_ms, const struct cache_control *request_cc,
                        const struct reuse_rules *rules);
/* The peer failed, or answered with `status` (0: it gave no answer). May the stored one be sent instead? */
bool reuse_on_error(const struct freshness *f, uint64_t kept_ms, unsigned status);
/* Statuses that stand for an error of the peer (RFC 5861 section 4). */
bool reuse_is_error(unsigned status);

/* Does this answer to this method make what is stored for its target stale (section 4.4)? */
bool invalidates(enum method method, unsigned status);
/* The target, "/path?query", that a Location or Content-Location names at the same origin; such a response makes that
 * stale, too. Empty: it is elsewhere, or written relative to the path. */
struct str invalidated_target(struct str value, struct str scheme, struct str authority);

#endif
