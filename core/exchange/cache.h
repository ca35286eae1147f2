// SPDX-License-Identifier: Apache-2.0
// cache: an exchange and the cache of its listener. A request is looked up behind request_filter; a hit goes straight
// to response_filter, with its body from the store. Who finds nothing asks a peer and becomes the filler, and whoever
// wants the same meanwhile waits for what comes of it. When the peer's head is for the cache, the attempt is handed to
// an exchange of its own, which fills the store whatever becomes of the client; the client reads what is there of it,
// as all others do.
//
//   cache_key.c      what a request asks for, and what must not reach the peer unkeyed
//   cache_hooks.c    what the policy's hooks say
//   cache_purge.c    what is to be forgotten
//   cache_lookup.c   from the key to one of: a hit, a wait, a fetch, or past the cache
//   cache_wait.c     seats at fills, news from other threads, and how long a wait may last
//   cache_answer.c   a stored head becomes a response: Age, conditions, ranges
//   cache_body.c     a source over stored bytes
//   cache_coded.c    bodies in content codings, made once
//   cache_head.c     a peer's head: a new response, a renewal, or an error that what is stored stands in for
//   cache_store.c    what becomes of it: kept, refused, or the stored one renewed
//   cache_fill.c     the exchange that fills, the stream of one without a client, and refreshing in the background
//
// Without a cache in the listener's settings none of this is entered.
#ifndef PERILUNE_EXCHANGE_CACHE_H
#define PERILUNE_EXCHANGE_CACHE_H

#include <stdbool.h>

#include "base/error.h"
#include "base/str.h"
#include "exchange/exchange.h"
#include "http/cache_status.h"
#include "http/coding.h"
#include "shared/purges.h"

struct arena;
struct cache;
struct proxy;

/* What a policy says of one cache. Borrowed from the policy for its life. */
struct cache_rules {
  struct cache *cache; /* borrowed: shared by all workers */
  struct str name;
  uint64_t object_most;  /* bytes of a body; 0: as the store can */
  unsigned lock_wait_ms; /* how long a request waits for another's fetch (5 s) */
  unsigned refusal_ms;   /* for so long a key that was not for the cache is not waited for (120 s) */
  unsigned max_variants; /* of one key (16) */
  unsigned default_s;    /* lifetime where the response says nothing */
  bool has_default;
  bool says_status; /* adds Cache-Status */
  bool grace_beside_s_maxage;
};
extern const struct cache_rules cache_rules_default;

/* X(ID, name): what the cache did for a request, for logs and metrics. */
#define CACHE_RESULTS(X)                                                                                     \
  X(NONE, "")                                                                                                \
  X(HIT, "hit")                                                                                              \
  X(MISS, "miss")                                                                                            \
  X(STALE, "stale")             /* instead of an error */                                                    \
  X(UPDATING, "stale-updating") /* while it is fetched anew */                                               \
  X(EXPIRED, "expired")         /* it was stale, and was fetched anew */                                     \
  X(REVALIDATED, "revalidated") /* the peer has said that it is still good */                                \
  X(BYPASS, "bypass")

enum cache_result {
#define X(id, name) CACHE_RESULT_##id,
  CACHE_RESULTS(X)
#undef X
};
const char *cache_result_name(enum cache_result result);
/* Under which the response to a URL is purged; in arena memory. .ptr NULL: it is none with a scheme and a host. And the
 * beginning of a URL with its host; without a slash behind that, all of the host. */
struct str cache_key_of_url(struct str url, struct arena *arena);
struct str cache_key_of_prefix(struct str prefix, struct arena *arena);

/* What is to be forgotten: a URL, a prefix of URLs, a tag; nothing of all. */
struct cache_order {
  struct cache *cache;
  enum purge_kind kind;
  bool is_soft;
  bool is_remote; /* another proxy has told us: nobody else is to be told */
  struct str what;
};
/* NULL, or what is wrong with the order. *was_there: false where it is known that nothing was. */
const char *cache_forget(const struct cache_order *order, struct arena *arena, bool *was_there);
/* For hooks: is what was found fresh; and why is it asked whether it may be served stale? */
bool cache_found_is_fresh(const struct exchange *x);
enum error cache_stale_cause(const struct exchange *x);
/* Seconds of the response that came from the store: its age, and what is left of its lifetime. False: it did not. */
bool cache_response_age(const struct exchange *x, double *age_s, double *left_s);
/* The proxy stops: fetches that nobody waits for end. */
void cache_stop(struct proxy *proxy);
/* The response is about to be sent in that coding. Is there such a body in the store? TAKEN: it is sent, with its
 * length; VAIN: it would not be smaller; NONE: it is to be encoded. */
enum cache_coded { CACHE_CODED_NONE, CACHE_CODED_TAKEN, CACHE_CODED_VAIN };
enum cache_coded cache_take_coded(struct exchange *x, enum coding coding);
/* What became of it; NONE where the listener has no cache, or the request is not for one. */
enum cache_result cache_result_of(const struct exchange *x);

#endif
