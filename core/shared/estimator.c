// SPDX-License-Identifier: Apache-2.0
// estimator: the count-min sketch. Its cells are chosen by double hashing from one 128-bit hash, h1 + i * h2
// for row i, which keeps the error bound of independent hashes (Kirsch and Mitzenmacher 2006, "Less Hashing,
// Same Performance") and reads the key once. The seed is random, so that nobody outside can find keys
// that share all cells.
#include "shared/estimator.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <xxhash.h>

#include "base/memory.h"
#include "base/random.h"

enum { LOCKS = 32 };

struct estimator {
  uint64_t seed;
  unsigned hashes, slots;
  pthread_mutex_t locks[LOCKS]; /* a key's is cells.step % LOCKS */
  _Atomic int64_t counters[];   /* row by row */
};

struct estimator *estimator_new(unsigned hashes, unsigned slots) {
  if (hashes == 0) hashes = 1;
  if (slots == 0) slots = 1;
  size_t cells = (size_t)hashes * slots;
  struct estimator *e = memory_zalloc(sizeof *e + cells * sizeof e->counters[0]);
  e->hashes = hashes;
  e->slots = slots;
  for (int i = 0; i < LOCKS; i++) pthread_mutex_init(&e->locks[i], NULL);
  if (!random_fill(&e->seed, sizeof e->seed, 0)) abort(); /* eight bytes are never short */
  return e;
}

void estimator_free(struct estimator *e) {
  if (!e) return;
  for (int i = 0; i < LOCKS; i++) pthread_mutex_destroy(&e->locks[i]);
  free(e);
}

/* The cells of a key: the hash of row i is at + i * step. */
struct cells {
  uint64_t at, step;
};

static struct cells cells_of(const struct estimator *e, struct str key) {
  XXH128_hash_t hash = XXH3_128bits_withSeed(key.ptr, key.len, e->seed);
  return (struct cells){hash.low64, hash.high64};
}

/* Index of the next row's cell. The hash is scaled to the row, not divided: its high bits choose the slot. */
static size_t next_cell(const struct estimator *e, struct cells *cells, unsigned row) {
  size_t slot = (size_t)(((unsigned __int128)cells->at * e->slots) >> 64);
  cells->at += cells->step;
  return (size_t)row * e->slots + slot;
}

/* Wraps as the atomics do; plain addition would be undefined. */
static int64_t add(int64_t a, int64_t b) { return (int64_t)((uint64_t)a + (uint64_t)b); }

int64_t estimator_add(struct estimator *e, struct str key, int64_t n) {
  struct cells cells = cells_of(e, key);
  int64_t least = INT64_MAX;
  pthread_mutex_t *turn = &e->locks[cells.step % LOCKS];
  pthread_mutex_lock(turn);
  for (unsigned row = 0; row < e->hashes; row++) {
    size_t cell = next_cell(e, &cells, row);
    int64_t count = add(atomic_fetch_add_explicit(&e->counters[cell], n, memory_order_relaxed), n);
    if (count < least) least = count;
  }
  pthread_mutex_unlock(turn);
  return least;
}

int64_t estimator_get(const struct estimator *e, struct str key) {
  struct cells cells = cells_of(e, key);
  int64_t least = INT64_MAX;
  for (unsigned row = 0; row < e->hashes; row++) {
    size_t cell = next_cell(e, &cells, row);
    int64_t count = atomic_load_explicit(&e->counters[cell], memory_order_relaxed);
    if (count < least) least = count;
  }
  return least;
}

void estimator_reset(struct estimator *e) {
  size_t cells = (size_t)e->hashes * e->slots;
  for (size_t i = 0; i < cells; i++) atomic_store_explicit(&e->counters[i], 0, memory_order_relaxed);
}
