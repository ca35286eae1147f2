// SPDX-License-Identifier: Apache-2.0
// name_cache: what is known about names. The entry of a name has, for each type of record, the last answer and the
// queries that wait for the next one; and which addresses could not be reached. It is bounded: the least recently
// used name without waiting queries is dropped. It knows no servers: net/resolver fills it.
#ifndef PERILUNE_NET_NAME_CACHE_H
#define PERILUNE_NET_NAME_CACHE_H

#include "base/check.h"
#include "base/list.h"
#include "net/dns_client.h"

enum { NAME_CACHE_MOST = 1024, NAME_BUCKETS = 512, NAME_BAD_MOST = 8, NAME_TEXT = 256 };
#define CACHED_NAME_MAGIC 0xcac4edeau

enum { SET_A, SET_AAAA, SET_SRV, SET_TYPES };

/* The records of one type. */
struct cached_set {
  struct cached_name *name; /* that it belongs to */
  struct list waiters;      /* of struct part (net/resolver), while it is asked for */
  enum dns_type type;
  enum dns_result result;     /* of the last answer */
  double asked, answered;     /* when it was asked for and answered last; 0: never. Times are the loop's. */
  double until, stale_until;  /* the answer holds; its records may be used where nobody can say better */
  struct dns_records records; /* of the last DNS_FOUND, while stale_until is ahead */
  const char *why;            /* static */
  bool is_asked, is_local;
};

/* An address that failed, or was so slow that another one was first. */
struct bad_address {
  double until;
  int family;
  struct dns_address address;
};

struct cached_name {
  OBJ_MAGIC;
  struct list recency; /* in name_cache.recent; in no list: dropped, but still in use */
  struct cached_name *next;
  void *owner; /* borrowed: the cache's */
  uint64_t hash;
  unsigned holds;
  unsigned turn; /* counts connections: which of its addresses comes first */
  struct cached_set sets[SET_TYPES];
  struct bad_address bad[NAME_BAD_MOST];
  char text[];
};

struct name_cache {
  void *owner;
  unsigned count;
  struct list recent; /* the most recently used first */
  struct cached_name *buckets[NAME_BUCKETS];
};

void name_cache_init(struct name_cache *cache, void *owner);
/* The entry of a name in lower case, made where there is none; the caller holds it. */
struct cached_name *name_cache_get(struct name_cache *cache, const char *name);
void name_cache_hold(struct cached_name *name);
void name_cache_release(struct cached_name *name);
/* Forgets all. What is held lives on without being found, as long as it is held. */
void name_cache_drop(struct name_cache *cache);

#endif
