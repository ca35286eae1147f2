// SPDX-License-Identifier: Apache-2.0
// backends_parts: what the files of a set (backends.c: its lists, backends_view.c: its views) share with each other,
// and with no other file.
#ifndef PERILUNE_SHARED_BACKENDS_PARTS_H
#define PERILUNE_SHARED_BACKENDS_PARTS_H

#include <pthread.h>

#include "shared/backends.h"

enum { BACKENDS_BUCKETS = 256 };

struct backends {
  pthread_mutex_t lock;
  struct str name;           /* owned; NULL: nobody can give orders */
  const struct clock *clock; /* borrowed */
  atomic_uint refs;
  _Atomic uint64_t version;       /* counts publications */
  _Atomic uint64_t turns;         /* of round robin */
  atomic_uint retries;            /* under way */
  struct backend_list *published; /* reference, or NULL */
  struct backend_list *stated;    /* reference, or NULL: the last one that a policy stated */
  uint64_t stated_version;        /* when that was stated first */
  struct backend_list *staged;    /* reference, or NULL: the one of views that are not in force, */
  unsigned staged_views;          /* of which there are so many */
  _Atomic bool has_rings;         /* somebody has asked for one */
  bool starts_unhealthy;
  struct backend *buckets[BACKENDS_BUCKETS]; /* owned */
};

/* The owner or a view lets go of the set. */
void backends_let_go(struct backends *set);
/* Under the lock. One reference. */
struct backend_list *backends_list_new(struct backends *set, const struct backend_spec *specs,
                                       unsigned count);
/* Under the lock: is it just that? `list` may be NULL. */
bool backends_list_says(const struct backend_list *list, const struct backend_spec *specs, unsigned count);
/* Under the lock: a new list that says the same, with the weights that people have said by now. */
struct backend_list *backends_list_again(struct backends *set, const struct backend_list *list);
/* Under the lock: are those its weights? */
bool backends_list_is_current(const struct backend_list *list);
/* The circles of all its tiers. */
void backends_list_make_rings(struct backends *set, struct backend_list *list);
struct backend_list *backends_list_hold(struct backend_list *list);
/* Not under the lock. `list` may be NULL. */
void backends_list_release(struct backends *set, struct backend_list *list);

#endif
