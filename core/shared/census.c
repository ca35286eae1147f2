// SPDX-License-Identifier: Apache-2.0
// census: the table has an entry for each client with connections, and for no others, so its size is that of the
// connections. It is split into parts, each with a lock.
#include "shared/census.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <xxhash.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/random.h"

enum { PARTS = 16, BUCKETS = 64 };

struct entry {
  struct entry *next;
  struct census_client client;
  unsigned count;
};

struct part {
  pthread_mutex_t lock;
  struct entry *buckets[BUCKETS]; /* owned; guarded by `lock` */
};

struct census {
  atomic_uint count, clients;
  uint64_t seed; /* who chooses addresses cannot choose buckets */
  struct part parts[PARTS];
};

bool census_client_of(const struct sockaddr *address, unsigned ipv6_bits, struct census_client *client) {
  static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
  memset(client, 0, sizeof *client);
  if (address->sa_family == AF_INET) {
    memcpy(client->bytes, mapped, sizeof mapped);
    memcpy(client->bytes + 12, &((const struct sockaddr_in *)address)->sin_addr, 4);
    return true;
  }
  if (address->sa_family != AF_INET6) return false;
  memcpy(client->bytes, &((const struct sockaddr_in6 *)address)->sin6_addr, 16);
  if (memcmp(client->bytes, mapped, sizeof mapped) == 0) return true;
  for (unsigned i = 0; i < 16; i++) {
    unsigned left = ipv6_bits > i * 8 ? ipv6_bits - i * 8 : 0;
    if (left < 8) client->bytes[i] &= (unsigned char)(0xff00 >> left);
  }
  return true;
}

struct census *census_new(void) {
  struct census *census = memory_zalloc(sizeof *census);
  if (!random_fill(&census->seed, sizeof census->seed, GRND_NONBLOCK)) census->seed = (uintptr_t)census;
  for (unsigned i = 0; i < PARTS; i++) pthread_mutex_init(&census->parts[i].lock, NULL);
  return census;
}

void census_free(struct census *census) {
  if (!census) return;
  CHECK(atomic_load(&census->count) == 0 && atomic_load(&census->clients) == 0);
  for (unsigned i = 0; i < PARTS; i++) pthread_mutex_destroy(&census->parts[i].lock);
  free(census);
}

/* --- of the listener -------------------------------------------------------------------------------------- */

bool census_enter(struct census *census, unsigned most) {
  unsigned count = atomic_load_explicit(&census->count, memory_order_relaxed);
  while (!most || count < most)
    if (atomic_compare_exchange_weak_explicit(&census->count, &count, count + 1, memory_order_relaxed,
                                              memory_order_relaxed))
      return true;
  return false;
}

void census_leave(struct census *census) {
  unsigned before = atomic_fetch_sub_explicit(&census->count, 1, memory_order_relaxed);
  CHECK(before > 0);
  (void)before;
}

unsigned census_count(const struct census *census) {
  return atomic_load_explicit(&census->count, memory_order_relaxed);
}

/* --- of clients ------------------------------------------------------------------------------------------- */

static struct entry **find(struct census *census, const struct census_client *client, struct part **part) {
  uint64_t hash = XXH3_64bits_withSeed(client->bytes, sizeof client->bytes, census->seed);
  *part = &census->parts[hash % PARTS];
  pthread_mutex_lock(&(*part)->lock);
  struct entry **at = &(*part)->buckets[hash / PARTS % BUCKETS];
  while (*at && memcmp((*at)->client.bytes, client->bytes, sizeof client->bytes) != 0) at = &(*at)->next;
  return at;
}

bool census_admit(struct census *census, const struct census_client *client, unsigned most) {
  struct part *part;
  struct entry **at = find(census, client, &part);
  bool fits = (*at ? (*at)->count : 0) < most;
  if (fits && !*at) {
    *at = memory_zalloc(sizeof **at);
    (*at)->client = *client;
    atomic_fetch_add_explicit(&census->clients, 1, memory_order_relaxed);
  }
  if (fits) (*at)->count++;
  pthread_mutex_unlock(&part->lock);
  return fits;
}

void census_dismiss(struct census *census, const struct census_client *client) {
  struct part *part;
  struct entry **at = find(census, client, &part), *entry = *at;
  CHECK(entry && entry->count > 0);
  if (--entry->count == 0) {
    *at = entry->next;
    atomic_fetch_sub_explicit(&census->clients, 1, memory_order_relaxed);
  } else {
    entry = NULL;
  }
  pthread_mutex_unlock(&part->lock);
  free(entry);
}

unsigned census_clients(const struct census *census) {
  return atomic_load_explicit(&census->clients, memory_order_relaxed);
}
