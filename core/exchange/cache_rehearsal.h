// SPDX-License-Identifier: Apache-2.0
// cache_rehearsal: the cache in a rehearsal (rehearsal.h): the same look-up, store, rules and hooks as in the proxy, in
// virtual time. What the proxy does beside an exchange is told here instead, and done by the test: the body of what is
// kept is written in one go, and a refresh in the background is a rehearsal of its own. Without a cache in the settings
// nothing of this is entered.
#ifndef PERILUNE_EXCHANGE_CACHE_REHEARSAL_H
#define PERILUNE_EXCHANGE_CACHE_REHEARSAL_H

#include "base/str.h"

struct exchange;

/* How the walk goes on. X(ID, name) */
#define CACHED_WAYS(X)                                                                                       \
  X(ON, "on")           /* as without a cache */                                                             \
  X(WAITS, "waits")     /* for a hook, or for another's fetch: the same call again */                        \
  X(SERVES, "serves")   /* the response is what is stored */                                                 \
  X(ANSWERS, "answers") /* a hook's answer, or the cache's */                                                \
  X(AGAIN, "again")     /* the peer is to be asked once more */                                              \
  X(ENDS, "ends")       /* it was a refresh in the background, and is over */                                \
  X(FAILS, "fails")     /* with the exchange's error */

enum cached_way {
#define X(id, name) CACHED_##id,
  CACHED_WAYS(X)
#undef X
};

/* Behind request_filter; behind upstream_response_filter; where no peer is left to ask. */
enum cached_way cache_rehearse_look_up(struct exchange *x);
enum cached_way cache_rehearse_head(struct exchange *x);
enum cached_way cache_rehearse_rescue(struct exchange *x);
/* Does the cache wait for the body of the peer's response? Then this is it. False: it is not as long as announced. */
bool cache_rehearse_keeps(const struct exchange *x);
bool cache_rehearse_body(struct exchange *x, struct str body);
/* The body of the stored response, as it is for this request. Arena. */
struct str cache_rehearse_text(struct exchange *x);
/* Is what was served to be fetched anew in the background? Then x does it, an exchange that has not begun. False:
 * somebody else does. */
bool cache_rehearse_wants_refresh(const struct exchange *x);
bool cache_rehearse_refresh(struct exchange *x, struct exchange *of);

#endif
