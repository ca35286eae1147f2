// SPDX-License-Identifier: Apache-2.0
// spares: a table of entries behind a lock, which is taken when a worker meets a peer for the first time or
// forgets it, never for a request. The last reference is let go under that lock, as the table may give the entry
// out meanwhile.
#include "shared/spares.h"

#include <pthread.h>
#include <stdlib.h>
#include <xxhash.h>

#include "base/check.h"
#include "base/memory.h"

enum { BUCKETS = 256 };

struct spares_board {
  pthread_mutex_t lock;
  unsigned workers;
  struct spares *buckets[BUCKETS]; /* guarded by `lock` */
};

struct spares_board *spares_board_new(unsigned workers) {
  struct spares_board *board = memory_zalloc(sizeof *board);
  board->workers = workers;
  pthread_mutex_init(&board->lock, NULL);
  return board;
}

void spares_board_free(struct spares_board *board) {
  pthread_mutex_destroy(&board->lock);
  free(board);
}

/* --- entries --------------------------------------------------------------------------------------------- */

static struct spares *make(struct spares_board *board, struct str identity, uint64_t hash) {
  size_t bytes = sizeof(struct spares) + board->workers * sizeof(struct spares_of_worker);
  struct spares *spares = aligned_alloc(_Alignof(struct spares), bytes);
  if (!spares) abort();
  memset((void *)spares, 0, bytes);
  spares->board = board;
  spares->hash = hash;
  spares->identity = (struct str){str_to_cstring(identity), identity.len};
  return spares;
}

/* Under the lock. */
static struct spares *find_or_make(struct spares_board *board, struct str identity) {
  uint64_t hash = XXH3_64bits(identity.ptr, identity.len);
  struct spares **bucket = &board->buckets[hash % BUCKETS];
  for (struct spares *spares = *bucket; spares; spares = spares->next)
    if (spares->hash == hash && str_equal(spares->identity, identity)) return spares;
  struct spares *spares = make(board, identity, hash);
  spares->next = *bucket;
  *bucket = spares;
  return spares;
}

/* Under the lock. */
static void forget(struct spares *spares) {
  struct spares **at = &spares->board->buckets[spares->hash % BUCKETS];
  while (*at != spares) at = &(*at)->next;
  *at = spares->next;
  free((void *)spares->identity.ptr);
  free(spares);
}

struct spares *spares_join(struct spares_board *board, struct str identity, unsigned worker, void *owner) {
  pthread_mutex_lock(&board->lock);
  struct spares *spares = find_or_make(board, identity);
  spares_hold(spares);
  pthread_mutex_unlock(&board->lock);
  CHECK(!spares->of[worker].owner); /* one peer of this identity per worker */
  spares->of[worker].owner = owner;
  return spares;
}

void spares_leave(struct spares *spares, unsigned worker) {
  spares->of[worker].owner = NULL;
  spares_state(spares, worker, 0);
  spares_release(spares);
}

void spares_hold(struct spares *spares) { atomic_fetch_add_explicit(&spares->refs, 1, memory_order_relaxed); }

void spares_release(struct spares *spares) {
  unsigned refs = atomic_load_explicit(&spares->refs, memory_order_relaxed);
  CHECK(refs > 0);
  while (refs > 1)
    if (atomic_compare_exchange_weak_explicit(&spares->refs, &refs, refs - 1, memory_order_release,
                                              memory_order_relaxed))
      return;
  struct spares_board *board = spares->board;
  pthread_mutex_lock(&board->lock);
  if (atomic_fetch_sub_explicit(&spares->refs, 1, memory_order_acq_rel) == 1) forget(spares);
  pthread_mutex_unlock(&board->lock);
}

/* --- asking ----------------------------------------------------------------------------------------------- */

int spares_richest(const struct spares *spares, unsigned worker, const unsigned *avoided) {
  unsigned workers = spares->board->workers;
  uint64_t most = 0;
  int richest = SPARES_NOBODY;
  for (unsigned i = 1; i < workers; i++) {
    unsigned other = (worker + i) % workers;
    uint64_t count = cell_get(&spares->of[other].count);
    if (count <= most || avoided[other]) continue;
    most = count;
    richest = (int)other;
  }
  return richest;
}
