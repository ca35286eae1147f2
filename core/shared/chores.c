// SPDX-License-Identifier: Apache-2.0
// chores: a list under a lock, and a condition that the thread waits for.
#include "shared/chores.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/cores.h"
#include "base/memory.h"

enum { FAILED = 64 };

struct chores {
  const char *name; /* static */
  pthread_mutex_t lock;
  pthread_cond_t is_more;
  pthread_t thread;
  atomic_bool stops;
  /* Under the lock: */
  bool has_thread, is_without; /* it could not be had */
  struct chore *first, *last;
  unsigned count;
  uint64_t doing;
  uint64_t failed[FAILED]; /* each at the place that its id says */
};

struct chores *chores_new(const char *name) {
  struct chores *c = memory_zalloc(sizeof *c);
  c->name = name;
  pthread_mutex_init(&c->lock, NULL);
  pthread_cond_init(&c->is_more, NULL);
  return c;
}

static struct chore *take(struct chores *c) {
  pthread_mutex_lock(&c->lock);
  c->doing = 0;
  while (!c->first && !atomic_load(&c->stops)) pthread_cond_wait(&c->is_more, &c->lock);
  struct chore *chore = atomic_load(&c->stops) ? NULL : c->first;
  if (chore) {
    c->first = chore->next;
    if (!c->first) c->last = NULL;
    c->count--;
    c->doing = chore->id;
  }
  pthread_mutex_unlock(&c->lock);
  return chore;
}

static void note(struct chores *c, uint64_t id) {
  pthread_mutex_lock(&c->lock);
  c->failed[id % FAILED] = id;
  pthread_mutex_unlock(&c->lock);
}

/* It steps back, but not far: it holds locks that workers wait for, and the end of the process waits for it. */
static void *run(void *argument) {
  struct chores *c = argument;
  struct chore *chore;
  cores_yield_to_workers();
  while ((chore = take(c))) {
    uint64_t id = chore->id;
    bool is_done = chore->run(chore, &c->stops);
    chore->end(chore);
    if (!is_done) note(c, id);
  }
  return NULL;
}

/* With the lock held. Signals are the other threads' business. */
static bool start(struct chores *c) {
  sigset_t all, before;
  if (c->has_thread || c->is_without) return c->has_thread;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  c->has_thread = pthread_create(&c->thread, NULL, run, c) == 0;
  c->is_without = !c->has_thread;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (c->has_thread) pthread_setname_np(c->thread, c->name);
  return c->has_thread;
}

void chores_free(struct chores *c) {
  if (!c) return;
  pthread_mutex_lock(&c->lock);
  atomic_store(&c->stops, true);
  pthread_cond_signal(&c->is_more);
  pthread_mutex_unlock(&c->lock);
  if (c->has_thread) pthread_join(c->thread, NULL);
  while (c->first) {
    struct chore *chore = c->first;
    c->first = chore->next;
    chore->end(chore);
  }
  pthread_cond_destroy(&c->is_more);
  pthread_mutex_destroy(&c->lock);
  free(c);
}

/* With the lock held. */
static bool is_welcome(const struct chores *c, uint64_t id) {
  if (c->count >= CHORES_WAITING || c->doing == id || c->failed[id % FAILED] == id) return false;
  for (const struct chore *chore = c->first; chore; chore = chore->next)
    if (chore->id == id) return false;
  return true;
}

bool chores_may_add(struct chores *c, uint64_t id) {
  pthread_mutex_lock(&c->lock);
  bool may_add = is_welcome(c, id);
  pthread_mutex_unlock(&c->lock);
  return may_add;
}

bool chores_add(struct chores *c, struct chore *chore) {
  CHECK(chore->id);
  pthread_mutex_lock(&c->lock);
  bool is_taken = is_welcome(c, chore->id) && start(c);
  if (is_taken) {
    chore->next = NULL;
    if (c->last)
      c->last->next = chore;
    else
      c->first = chore;
    c->last = chore;
    c->count++;
    pthread_cond_signal(&c->is_more);
  }
  pthread_mutex_unlock(&c->lock);
  if (!is_taken) chore->end(chore);
  return is_taken;
}
