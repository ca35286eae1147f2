// SPDX-License-Identifier: Apache-2.0
// peer_figures: a list that only grows, behind a lock that is taken when a worker meets a peer for the first time.
#include "shared/peer_figures.h"

#include <pthread.h>

#include "base/memory.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct peer_figures *first; /* guarded by `lock`, as are all `next` */

static struct peer_figures *make(struct str address) {
  struct peer_figures *figures = memory_zalloc(sizeof *figures);
  figures->address = str_own(address);
  return figures;
}

/* Under the lock. */
static struct peer_figures *find_or_make(struct str address) {
  struct peer_figures **at = &first;
  unsigned count = 0;
  for (; *at; at = &(*at)->next, count++)
    if (str_equal((*at)->address, address)) return *at;
  if (count < FIGURES_MOST) *at = make(address);
  return *at;
}

struct peer_figures *peer_figures_of(struct str address) {
  pthread_mutex_lock(&lock);
  struct peer_figures *figures = find_or_make(address);
  pthread_mutex_unlock(&lock);
  return figures;
}

void peer_figures_each(void (*show)(const struct peer_figures *figures, void *owner), void *owner) {
  pthread_mutex_lock(&lock);
  for (const struct peer_figures *figures = first; figures; figures = figures->next) show(figures, owner);
  pthread_mutex_unlock(&lock);
}
