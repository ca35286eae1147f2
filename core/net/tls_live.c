// SPDX-License-Identifier: Apache-2.0
// tls_live: a hash table under a lock that is held for some instructions; handshakes read it, and a renewal writes it
// once in weeks. Identities are released after the lock, since a release may free a key.
#include "net/tls_live.h"

#include <pthread.h>
#include <stdlib.h>
#include <xxhash.h>

#include "base/list.h"
#include "base/memory.h"

enum { BUCKETS = 256 };

struct entry {
  struct entry *next;            /* in its bucket */
  struct tls_identity *identity; /* reference */
  uint64_t hash;
  size_t length;
  char name[];
};

struct tls_live {
  struct list link;    /* in `all` */
  unsigned references; /* guarded by `stores` */
  char *name;          /* owned */
  pthread_mutex_t lock;
  struct entry *buckets[BUCKETS]; /* owned */
  unsigned count;
};

static pthread_mutex_t stores = PTHREAD_MUTEX_INITIALIZER;
static struct list all = {&all, &all}; /* guarded by `stores` */

/* --- stores --------------------------------------------------------------------------------------------- */

static struct tls_live *make(struct str store) {
  struct tls_live *live = memory_zalloc(sizeof *live);
  live->name = str_to_cstring(store);
  pthread_mutex_init(&live->lock, NULL);
  list_push_back(&all, &live->link);
  return live;
}

struct tls_live *tls_live_get(struct str store) {
  struct tls_live *live = NULL;
  pthread_mutex_lock(&stores);
  LIST_EACH(node, &all) {
    struct tls_live *one = LIST_ENTRY(node, struct tls_live, link);
    if (str_equal(str_of(one->name), store)) live = one;
  }
  if (!live) live = make(store);
  live->references++;
  pthread_mutex_unlock(&stores);
  return live;
}

static void free_entry(struct entry *entry) {
  tls_identity_release(entry->identity);
  free(entry);
}

void tls_live_release(struct tls_live *live) {
  if (!live) return;
  pthread_mutex_lock(&stores);
  bool is_last = --live->references == 0;
  if (is_last) list_remove(&live->link);
  pthread_mutex_unlock(&stores);
  if (!is_last) return;
  for (unsigned i = 0; i < BUCKETS; i++)
    for (struct entry *entry = live->buckets[i], *next; entry; entry = next) {
      next = entry->next;
      free_entry(entry);
    }
  pthread_mutex_destroy(&live->lock);
  free(live->name);
  free(live);
}

/* --- certificates --------------------------------------------------------------------------------------- */

static struct entry **find(struct tls_live *live, struct str name, uint64_t hash) {
  struct entry **at = &live->buckets[hash % BUCKETS];
  while (*at && ((*at)->hash != hash || !str_equal((struct str){(*at)->name, (*at)->length}, name)))
    at = &(*at)->next;
  return at;
}

static struct entry *new_entry(struct str name, uint64_t hash, struct tls_identity *identity) {
  struct entry *entry = memory_alloc(sizeof *entry + name.len);
  *entry = (struct entry){.identity = tls_identity_hold(identity), .hash = hash, .length = name.len};
  if (name.len) memcpy(entry->name, name.ptr, name.len);
  return entry;
}

bool tls_live_set(struct tls_live *live, struct str name, struct tls_identity *identity) {
  uint64_t hash = XXH3_64bits(name.ptr, name.len);
  struct entry *entry = identity ? new_entry(name, hash, identity) : NULL, *unused = NULL;
  pthread_mutex_lock(&live->lock);
  struct entry **at = find(live, name, hash), *old = *at;
  bool has_room = old || !entry || live->count < TLS_LIVE_MOST;
  if (old) *at = old->next;
  if (old) live->count--;
  if (entry && has_room) {
    entry->next = *at;
    *at = entry;
    live->count++;
  } else {
    unused = entry;
  }
  pthread_mutex_unlock(&live->lock);
  if (old) free_entry(old);
  if (unused) free_entry(unused);
  return has_room;
}

static struct tls_identity *find_exactly(struct tls_live *live, struct str name) {
  const struct entry *entry = *find(live, name, XXH3_64bits(name.ptr, name.len));
  return entry ? tls_identity_hold(entry->identity) : NULL;
}

struct tls_identity *tls_live_find(struct tls_live *live, struct str name) {
  char wildcard[256] = "*";
  size_t dot = str_find(name, '.'), rest = name.len - dot;
  pthread_mutex_lock(&live->lock);
  struct tls_identity *identity = find_exactly(live, name);
  if (!identity && rest && rest < sizeof wildcard - 1) {
    memcpy(wildcard + 1, name.ptr + dot, rest);
    identity = find_exactly(live, (struct str){wildcard, rest + 1});
  }
  pthread_mutex_unlock(&live->lock);
  return identity;
}
