// SPDX-License-Identifier: Apache-2.0
// backends_orders: how a set takes over what people have said of its backends (shared/orders.h). Drained and disabled
// are bits of the backend, which any choice sees at once. A weight is part of a list, so a new list takes the place of
// the one in force; its circles are made before that, outside the lock, so the list in force may have changed by then.
#include "base/memory.h"
#include "shared/backends_parts.h"

/* Under the lock. NULL: no policy has stated a list. */
static struct backend_list *in_force(const struct backends *set) {
  return atomic_load(&set->version) > set->stated_version ? set->published : set->stated;
}

/* Under the lock. */
static void take_all(struct backends *set) {
  uint64_t now_ms = backends_now_ms(set);
  for (unsigned i = 0; i < BACKENDS_BUCKETS; i++)
    for (struct backend *b = set->buckets[i]; b; b = b->next)
      backend_take_order(b, orders_find(set->name, b->address), now_ms);
}

/* A list with the weights of now, and the one that it is made of, both held; false: that has them already. */
static bool renew(struct backends *set, struct backend_list **old, struct backend_list **fresh) {
  pthread_mutex_lock(&set->lock);
  *old = in_force(set);
  bool is_stale = *old && !backends_list_is_current(*old);
  if (is_stale) {
    backends_list_hold(*old);
    *fresh = backends_list_again(set, *old);
  }
  pthread_mutex_unlock(&set->lock);
  return is_stale;
}

/* False: `old` is not in force any more. Takes over `fresh` where it is. */
static bool replace(struct backends *set, const struct backend_list *old, struct backend_list *fresh) {
  pthread_mutex_lock(&set->lock);
  bool is_in_force = in_force(set) == old;
  struct backend_list *before = set->published;
  if (is_in_force) {
    set->published = fresh;
    atomic_fetch_add_explicit(&set->version, 1, memory_order_release);
  }
  pthread_mutex_unlock(&set->lock);
  if (is_in_force) backends_list_release(set, before);
  return is_in_force;
}

void backends_take_orders(struct backends *set) {
  struct backend_list *old, *fresh;
  pthread_mutex_lock(&set->lock);
  if (set->name.ptr) take_all(set);
  pthread_mutex_unlock(&set->lock);
  while (renew(set, &old, &fresh)) {
    if (atomic_load(&set->has_rings)) backends_list_make_rings(set, fresh);
    bool is_done = replace(set, old, fresh);
    if (!is_done) backends_list_release(set, fresh);
    backends_list_release(set, old);
  }
}

void backends_name(struct backends *set, struct str name) {
  pthread_mutex_lock(&set->lock);
  bool is_new = !set->name.ptr;
  if (is_new) set->name = str_own(name);
  pthread_mutex_unlock(&set->lock);
  if (is_new) backends_take_orders(set);
}
