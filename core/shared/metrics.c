// SPDX-License-Identifier: Apache-2.0
// metrics: the tallies, and the traffic of each listener that has existed. A struct of cells is an array of cells,
// and is added up as one.
#include "shared/metrics.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/memory.h"
#include "shared/census.h"

struct metrics_listener {
  struct list link;
  struct str name;           /* owned */
  struct traffic *of_worker; /* owned array */
  struct census *census;     /* owned */
};

struct metrics {
  unsigned workers;
  struct tally *tallies; /* owned array, one more than workers */
  struct list listeners; /* owned, in the order of their first use */
  unsigned listener_count;
};

_Static_assert(sizeof(cell) == sizeof(uint64_t), "cells are words");

struct metrics *metrics_new(unsigned workers) {
  struct metrics *m = memory_zalloc(sizeof *m);
  m->workers = workers;
  m->tallies = memory_zalloc_lines((workers + 1) * sizeof *m->tallies);
  list_init(&m->listeners);
  return m;
}

void metrics_free(struct metrics *m) {
  LIST_EACH(node, &m->listeners) {
    struct metrics_listener *listener = LIST_ENTRY(node, struct metrics_listener, link);
    free((void *)listener->name.ptr);
    free(listener->of_worker);
    census_free(listener->census);
    free(listener);
  }
  free(m->tallies);
  free(m);
}

struct tally *metrics_tally(struct metrics *m, unsigned worker) {
  return &m->tallies[worker];
}

static struct metrics_listener *add_listener(struct metrics *m, struct str name) {
  struct metrics_listener *listener = memory_zalloc(sizeof *listener);
  listener->name = str_own(name);
  listener->of_worker = memory_zalloc_lines((m->workers + 1) * sizeof *listener->of_worker);
  listener->census = census_new();
  list_push_back(&m->listeners, &listener->link);
  m->listener_count++;
  return listener;
}

static struct metrics_listener *find_or_add(struct metrics *m, struct str name) {
  LIST_EACH(node, &m->listeners) {
    struct metrics_listener *listener = LIST_ENTRY(node, struct metrics_listener, link);
    if (str_equal(listener->name, name)) return listener;
  }
  return add_listener(m, name);
}

struct traffic *metrics_traffic(struct metrics *m, struct str name, unsigned worker) {
  return &find_or_add(m, name)->of_worker[worker];
}

struct census *metrics_census(struct metrics *m, struct str name) {
  return find_or_add(m, name)->census;
}

struct tally *tally_nowhere(void) {
  static struct tally tally;
  return &tally;
}

struct traffic *traffic_nowhere(void) {
  static struct traffic traffic;
  return &traffic;
}

/* --- reading -------------------------------------------------------------------------------------------- */

static void add_up(cell *sum, const cell *one, size_t bytes) {
  for (size_t i = 0; i < bytes / sizeof *sum; i++) cell_add(&sum[i], cell_get(&one[i]));
}

void metrics_sum(struct metrics *m, struct tally *sum) {
  uint64_t slowest[TALLY_HOOKS] = {0};
  memset((void *)sum, 0, sizeof *sum);
  for (unsigned i = 0; i < m->workers; i++) {
    struct tally *one = &m->tallies[i];
    add_up((cell *)sum, (cell *)one, sizeof *sum);
    for (unsigned k = 0; k < TALLY_HOOKS; k++)
      if (cell_get(&one->hooks[k].slowest) > slowest[k]) slowest[k] = cell_get(&one->hooks[k].slowest);
  }
  for (unsigned k = 0; k < TALLY_HOOKS; k++) cell_set(&sum->hooks[k].slowest, slowest[k]);
}

void traffic_merge(struct traffic *to, const struct traffic *from) {
  add_up((cell *)to, (const cell *)from, sizeof *to);
}

static struct metrics_listener *listener_at(struct metrics *m, unsigned number) {
  if (number >= m->listener_count) return NULL;
  struct list *node = m->listeners.next;
  while (number--) node = node->next;
  return LIST_ENTRY(node, struct metrics_listener, link);
}

struct census *metrics_listener_census(struct metrics *m, unsigned number) {
  struct metrics_listener *listener = listener_at(m, number);
  return listener ? listener->census : NULL;
}

bool metrics_listener(struct metrics *m, unsigned number, struct str *name, struct traffic *sum) {
  struct metrics_listener *listener = listener_at(m, number);
  if (!listener) return false;
  *name = listener->name;
  memset((void *)sum, 0, sizeof *sum);
  for (unsigned i = 0; i < m->workers; i++) traffic_merge(sum, &listener->of_worker[i]);
  return true;
}
