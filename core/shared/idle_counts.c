// SPDX-License-Identifier: Apache-2.0
// idle_counts: a table of entries with a lock, which is taken when a worker uses a peer for the first time or forgets
// it, never for a request. The last reference is released under the lock, since the table could return the entry to
// another worker meanwhile.
#include "shared/idle_counts.h"

#include <pthread.h>
#include <stdlib.h>
#include <xxhash.h>

#include "base/check.h"
#include "base/memory.h"

enum { BUCKETS = 256 };

struct idle_counts_table {
  pthread_mutex_t lock;
  unsigned workers;
  struct idle_counts *buckets[BUCKETS]; /* guarded by `lock` */
};

struct idle_counts_table *idle_counts_table_new(unsigned workers) {
  struct idle_counts_table *table = memory_zalloc(sizeof *table);
  table->workers = workers;
  pthread_mutex_init(&table->lock, NULL);
  return table;
}

void idle_counts_table_free(struct idle_counts_table *table) {
  pthread_mutex_destroy(&table->lock);
  free(table);
}

/* --- entries --------------------------------------------------------------------------------------------- */

static struct idle_counts *make(struct idle_counts_table *table, struct str identity, uint64_t hash) {
  size_t bytes = sizeof(struct idle_counts) + table->workers * sizeof(struct idle_counts_of_worker);
  struct idle_counts *counts = memory_zalloc_lines(bytes);
  counts->table = table;
  counts->hash = hash;
  counts->identity = str_own(identity);
  return counts;
}

/* Under the lock. */
static struct idle_counts *find_or_make(struct idle_counts_table *table, struct str identity) {
  uint64_t hash = XXH3_64bits(identity.ptr, identity.len);
  struct idle_counts **bucket = &table->buckets[hash % BUCKETS];
  for (struct idle_counts *counts = *bucket; counts; counts = counts->next)
    if (counts->hash == hash && str_equal(counts->identity, identity)) return counts;
  struct idle_counts *counts = make(table, identity, hash);
  counts->next = *bucket;
  *bucket = counts;
  return counts;
}

/* Under the lock. */
static void forget(struct idle_counts *counts) {
  struct idle_counts **at = &counts->table->buckets[counts->hash % BUCKETS];
  while (*at != counts) at = &(*at)->next;
  *at = counts->next;
  free((void *)counts->identity.ptr);
  free(counts);
}

struct idle_counts *idle_counts_join(struct idle_counts_table *table, struct str identity, unsigned worker,
                                     void *owner) {
  pthread_mutex_lock(&table->lock);
  struct idle_counts *counts = find_or_make(table, identity);
  idle_counts_hold(counts);
  pthread_mutex_unlock(&table->lock);
  CHECK(!counts->of[worker].owner); /* one peer of this identity per worker */
  counts->of[worker].owner = owner;
  return counts;
}

void idle_counts_leave(struct idle_counts *counts, unsigned worker) {
  counts->of[worker].owner = NULL;
  idle_counts_state(counts, worker, 0);
  idle_counts_release(counts);
}

void idle_counts_hold(struct idle_counts *counts) {
  atomic_fetch_add_explicit(&counts->refs, 1, memory_order_relaxed);
}

void idle_counts_release(struct idle_counts *counts) {
  unsigned refs = atomic_load_explicit(&counts->refs, memory_order_relaxed);
  CHECK(refs > 0);
  while (refs > 1)
    if (atomic_compare_exchange_weak_explicit(&counts->refs, &refs, refs - 1, memory_order_release,
                                              memory_order_relaxed))
      return;
  struct idle_counts_table *table = counts->table;
  pthread_mutex_lock(&table->lock);
  if (atomic_fetch_sub_explicit(&counts->refs, 1, memory_order_acq_rel) == 1) forget(counts);
  pthread_mutex_unlock(&table->lock);
}

/* --- asking ----------------------------------------------------------------------------------------------- */

int idle_counts_most(const struct idle_counts *counts, unsigned worker, const unsigned *avoided) {
  unsigned workers = counts->table->workers;
  uint64_t most = 0;
  int found = IDLE_COUNTS_NOBODY;
  for (unsigned i = 1; i < workers; i++) {
    unsigned other = (worker + i) % workers;
    uint64_t count = cell_get(&counts->of[other].count);
    if (count <= most || avoided[other]) continue;
    most = count;
    found = (int)other;
  }
  return found;
}
