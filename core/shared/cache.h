// SPDX-License-Identifier: Apache-2.0
// cache: what all workers share of a cache: the store, the fills under way, the keys that are known not to be worth
// waiting for, and what was purged when (purges.h). It knows nothing of HTTP; core/exchange/cache*.c do.
//
// Words. key: what a request asks for, without what its fields choose.
#ifndef PERILUNE_SHARED_CACHE_H
#define PERILUNE_SHARED_CACHE_H

#include "base/clock.h"
#include "shared/fill.h"
#include "shared/purge_outbox.h"
#include "shared/purges.h"

struct cache;
struct chores;

#define CACHE_LEAST_BYTES ((size_t)1 << 20)

struct cache_config {
  size_t bytes;
  const struct clock *clock; /* borrowed, must outlive the cache; NULL: the system's */
  const char *path;          /* of the file that keeps it; NULL: in memory */
  bool has_predecessor;      /* an older process has one of that name */
  int predecessor;           /* the descriptor of its store; borrowed */
};
/* With one reference. NULL: *why is a sentence. */
struct cache *cache_new(const struct cache_config *config, const char **why);
struct cache *cache_hold(struct cache *c);
/* NULL is harmless. The last reference frees it. */
void cache_release(struct cache *c);
size_t cache_bytes(const struct cache *c);
struct store *cache_store(struct cache *c);
/* What is done for it in a thread of its own. */
struct chores *cache_chores(struct cache *c);
/* ms of its clock. */
uint64_t cache_now_ms(const struct cache *c);

/* --- fills --- */

enum cache_join {
  CACHE_FILLS, /* nobody asks for that key: the caller has to, and ends the fill */
  CACHE_WAITS  /* somebody does */
};
/* *fill: a reference of the caller's, in which the seat sits. */
enum cache_join cache_join(struct cache *c, struct str key, struct fill_seat *seat, struct fill **fill);
/* Does somebody ask for it just now? */
bool cache_is_filling(struct cache *c, struct str key);
/* One that nobody else joins. A reference, in which the seat sits. */
struct fill *cache_fill_alone(struct cache *c, struct str key, struct fill_seat *seat);
/* Nobody joins it any more. Harmless where nobody could. */
void cache_unlist(struct cache *c, struct fill *fill);
unsigned cache_fills(struct cache *c);

/* --- keys that are not for the cache --- */

void cache_remember_refusal(struct cache *c, struct str key, uint64_t ttl_ms);
void cache_forget_refusal(struct cache *c, struct str key);
bool cache_remembers_refusal(const struct cache *c, struct str key);

/* --- purges (purges.h). What was asked for before is found no more, nor what is on its way. --- */

const struct purge_table *cache_purges(const struct cache *c);
/* For those that other proxies are to be told. */
struct purge_outbox *cache_outbox(struct cache *c);
/* True: there was something under this very key. */
bool cache_purge_key(struct cache *c, struct str key, bool is_soft);
void cache_purge_prefix(struct cache *c, struct str prefix, bool is_soft);
void cache_purge_tag(struct cache *c, uint64_t tag, bool is_soft);
void cache_purge_all(struct cache *c, bool is_soft);
/* Of a file: what was purged so far is on the disk when this returns. */
void cache_keep_purges(struct cache *c);
/* Was an object with that number stored by another process, so that purges of its key may have missed it? */
bool cache_is_inherited(const struct cache *c, uint64_t number);
/* Is it in a file, which is there after the machine has started anew? */
bool cache_outlives_machine(const struct cache *c);
/* Between these two nothing is purged by this key: what is found to be current then may be published. */
void cache_hold_purges(struct cache *c, struct str key);
void cache_let_purges(struct cache *c, struct str key);

/* --- figures --- */

#define CACHE_FIGURES(X)                                                                                     \
  X(hits)                                                                                                    \
  X(misses)                                                                                                  \
  X(stale)                                                                                                   \
  X(revalidated)                                                                                             \
  X(bypasses)                                                                                                \
  X(collapsed)                                                                                               \
  X(lock_timeouts)                                                                                           \
  X(refused)                                                                                                 \
  X(broken)                                                                                                  \
  X(purges)                                                                                                  \
  X(served_bytes)                                                                                            \
  X(sent_bytes)                                                                                              \
  X(coded)                                                                                                   \
  X(served_coded)

struct cache_figures {
#define X(name) _Atomic uint64_t name;
  CACHE_FIGURES(X)
#undef X
};
struct cache_figures *cache_figures(struct cache *c);
#define cache_count(cache, figure, n)                                                                        \
  atomic_fetch_add_explicit(&cache_figures(cache)->figure, n, memory_order_relaxed)

#endif
