// SPDX-License-Identifier: Apache-2.0
// discovery: a struct of facts behind a lock.
#include "shared/discovery.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

struct discovery {
  pthread_mutex_t lock;
  struct discovery_facts facts; /* text of its name owned */
};

static void *make(const void *config) {
  const struct discovery_name *name = config;
  struct discovery *d = memory_zalloc(sizeof *d);
  pthread_mutex_init(&d->lock, NULL);
  d->facts.name = (struct discovery_name){str_own(name->kind), str_own(name->source), str_own(name->set)};
  d->facts.made = moment_now();
  return d;
}

static void release(void *object) {
  struct discovery *d = object;
  free((void *)d->facts.name.kind.ptr);
  free((void *)d->facts.name.source.ptr);
  free((void *)d->facts.name.set.ptr);
  pthread_mutex_destroy(&d->lock);
  free(d);
}

const struct registry_kind discovery_kind = {"discovery", make, release, NULL, NULL};

struct discovery_facts discovery_read(struct discovery *d) {
  pthread_mutex_lock(&d->lock);
  struct discovery_facts facts = d->facts;
  pthread_mutex_unlock(&d->lock);
  return facts;
}

static void note_good(struct discovery_facts *f) {
  f->good = moment_now();
  f->is_down = f->is_kept = false;
}

void discovery_note_alive(struct discovery *d) {
  pthread_mutex_lock(&d->lock);
  note_good(&d->facts);
  pthread_mutex_unlock(&d->lock);
}

void discovery_note_list(struct discovery *d, uint64_t backends, uint64_t skipped, bool is_change) {
  pthread_mutex_lock(&d->lock);
  note_good(&d->facts);
  d->facts.backends = backends;
  d->facts.skipped = skipped;
  d->facts.changes += is_change;
  pthread_mutex_unlock(&d->lock);
}

void discovery_note_failure(struct discovery *d, struct str why) {
  struct discovery_facts *f = &d->facts;
  size_t length = why.len < sizeof f->why ? why.len : sizeof f->why - 1;
  pthread_mutex_lock(&d->lock);
  f->failures++;
  f->is_down = true;
  if (length) memcpy(f->why, why.ptr, length);
  f->why[length] = '\0';
  pthread_mutex_unlock(&d->lock);
}

void discovery_note_kept(struct discovery *d, uint64_t backends, time_t good_at) {
  pthread_mutex_lock(&d->lock);
  if (!d->facts.good.date) {
    d->facts.good = moment_of_date(good_at);
    d->facts.backends = backends;
    d->facts.is_kept = true;
  }
  pthread_mutex_unlock(&d->lock);
}

double discovery_age(const struct discovery_facts *facts) {
  return (double)moment_age_s(facts->good.date ? facts->good : facts->made);
}
