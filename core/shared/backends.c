// SPDX-License-Identifier: Apache-2.0
// backends: the set and its lists; its views are in backends_view.c. The hard problem is the lifetime of a backend:
// it is dropped, under the set's lock, when no list has it and no attempt uses it; an attempt can begin only through
// a list. A set lives while its owner or a view holds it.
#include "shared/backends.h"

#include <pthread.h>
#include <stdlib.h>
#include <xxhash.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "shared/backends_parts.h"
#include "shared/ring.h"

struct backends *backends_new(const struct clock *clock) {
  struct backends *set = memory_zalloc(sizeof *set);
  pthread_mutex_init(&set->lock, NULL);
  set->clock = clock;
  atomic_init(&set->refs, 1);
  return set;
}

void backends_free(struct backends *set) {
  if (!set) return;
  backends_list_release(set, set->published);
  backends_list_release(set, set->stated);
  backends_list_release(set, set->staged);
  set->published = set->stated = set->staged = NULL;
  backends_let_go(set);
}

void backends_let_go(struct backends *set) {
  unsigned refs = atomic_fetch_sub(&set->refs, 1);
  CHECK(refs > 0);
  if (refs != 1) return;
  for (unsigned i = 0; i < BACKENDS_BUCKETS; i++) {
    for (struct backend *b = set->buckets[i], *next; b; b = next) {
      next = b->next;
      free(b);
    }
  }
  pthread_mutex_destroy(&set->lock);
  free((char *)set->name.ptr);
  free(set);
}

uint64_t backends_now_ms(const struct backends *set) { return clock_now_ms(set->clock); }

uint64_t backends_turn(struct backends *set) {
  return atomic_fetch_add_explicit(&set->turns, 1, memory_order_relaxed);
}

/* --- the backends by address, under the lock ------------------------------------------------------------ */

static struct backend *find_or_add(struct backends *set, struct str address) {
  uint64_t hash = XXH3_64bits(address.ptr, address.len);
  struct backend **bucket = &set->buckets[hash % BACKENDS_BUCKETS];
  for (struct backend *b = *bucket; b; b = b->next)
    if (b->hash == hash && str_equal(b->address, address)) return b;
  struct backend *b = backend_new(address, hash);
  if (set->name.ptr) backend_take_order(b, orders_find(set->name, address), 0);
  atomic_init(&b->healthy, !set->starts_unhealthy);
  b->next = *bucket;
  *bucket = b;
  return b;
}

static void prune(struct backends *set) {
  for (unsigned i = 0; i < BACKENDS_BUCKETS; i++) {
    for (struct backend **at = &set->buckets[i]; *at;) {
      struct backend *b = *at;
      if (b->listings || atomic_load_explicit(&b->in_flight, memory_order_acquire)) {
        at = &b->next;
      } else {
        *at = b->next;
        free(b);
      }
    }
  }
}

void backends_set_start(struct backends *set, bool healthy) {
  pthread_mutex_lock(&set->lock);
  set->starts_unhealthy = !healthy;
  for (unsigned i = 0; i < BACKENDS_BUCKETS; i++)
    for (struct backend *b = set->buckets[i]; b; b = b->next)
      if (!atomic_load(&b->checked)) atomic_store(&b->healthy, healthy);
  pthread_mutex_unlock(&set->lock);
}

/* --- lists ------------------------------------------------------------------------------------------- */

static void add_tier(struct backend_list *list, unsigned tier) {
  struct backend_tier *added = &list->tiers[list->tier_count];
  added->members = memory_alloc(list->count * sizeof *added->members);
  added->before = memory_alloc((list->count + 1) * sizeof *added->before);
  uint64_t weight = 0;
  for (unsigned i = 0; i < list->count; i++) {
    if (list->entries[i].tier != tier) continue;
    added->members[added->count] = i;
    added->before[added->count++] = weight;
    weight += list->entries[i].weight;
  }
  added->before[added->count] = weight;
  list->tier_count++;
}

static void sort_into_tiers(struct backend_list *list) {
  bool is_used[BACKENDS_TIERS] = {false};
  unsigned used = 0;
  for (unsigned i = 0; i < list->count; i++) is_used[list->entries[i].tier] = true;
  for (unsigned i = 0; i < BACKENDS_TIERS; i++) used += is_used[i];
  list->tiers = memory_zalloc((used ? used : 1) * sizeof *list->tiers);
  for (unsigned i = 0; i < BACKENDS_TIERS; i++)
    if (is_used[i]) add_tier(list, i);
}

static struct backend_spec as_stored(struct backend_spec spec) {
  if (spec.weight == 0) spec.weight = 1;
  if (spec.tier >= BACKENDS_TIERS) spec.tier = BACKENDS_TIERS - 1;
  return spec;
}

/* Under the lock. */
struct backend_list *backends_list_new(struct backends *set, const struct backend_spec *specs,
                                       unsigned count) {
  struct backend_list *list = memory_zalloc(sizeof *list);
  atomic_init(&list->refs, 1);
  list->count = count;
  list->entries = memory_zalloc((count ? count : 1) * sizeof *list->entries);
  for (unsigned i = 0; i < count; i++) {
    struct backend_spec spec = as_stored(specs[i]);
    struct backend *backend = find_or_add(set, spec.address);
    backend->listings++;
    unsigned ordered = atomic_load(&backend->ordered_weight);
    list->entries[i] =
        (struct backend_entry){backend, ordered ? ordered : spec.weight, spec.tier, spec.weight};
  }
  sort_into_tiers(list);
  return list;
}

struct backend_list *backends_list_again(struct backends *set, const struct backend_list *list) {
  struct backend_spec *specs = memory_alloc((list->count + 1) * sizeof *specs);
  for (unsigned i = 0; i < list->count; i++) {
    const struct backend_entry *entry = &list->entries[i];
    specs[i] = (struct backend_spec){entry->backend->address, entry->given, entry->tier};
  }
  struct backend_list *again = backends_list_new(set, specs, list->count);
  free(specs);
  return again;
}

bool backends_list_is_current(const struct backend_list *list) {
  for (unsigned i = 0; i < list->count; i++) {
    const struct backend_entry *entry = &list->entries[i];
    unsigned ordered = atomic_load(&entry->backend->ordered_weight);
    if (entry->weight != (ordered ? ordered : entry->given)) return false;
  }
  return true;
}

/* Under the lock. */
bool backends_list_says(const struct backend_list *list, const struct backend_spec *specs, unsigned count) {
  if (!list || list->count != count) return false;
  for (unsigned i = 0; i < count; i++) {
    const struct backend_entry *entry = &list->entries[i];
    struct backend_spec spec = as_stored(specs[i]);
    if (!str_equal(entry->backend->address, spec.address)) return false;
    if (entry->given != spec.weight || entry->tier != spec.tier) return false;
  }
  return true;
}

struct backend_list *backends_list_hold(struct backend_list *list) {
  CHECK(atomic_load(&list->refs) > 0);
  atomic_fetch_add(&list->refs, 1);
  return list;
}

void backends_list_release(struct backends *set, struct backend_list *list) {
  if (!list || atomic_fetch_sub(&list->refs, 1) != 1) return;
  pthread_mutex_lock(&set->lock);
  for (unsigned i = 0; i < list->count; i++) {
    CHECK(list->entries[i].backend->listings > 0);
    list->entries[i].backend->listings--;
  }
  prune(set);
  pthread_mutex_unlock(&set->lock);
  for (unsigned i = 0; i < list->tier_count; i++) {
    free(list->tiers[i].members);
    free(list->tiers[i].before);
    ring_free(atomic_load(&list->tiers[i].ring));
  }
  free(list->tiers);
  free(list->entries);
  free(list);
}

/* Two workers may make it at once; the first to be done wins. */
const struct ring *backends_ring(struct backends *set, const struct backend_list *list,
                                 struct backend_tier *tier) {
  struct ring *ring = atomic_load_explicit(&tier->ring, memory_order_acquire), *none = NULL;
  if (ring) return ring;
  uint64_t weight = tier->before[tier->count];
  atomic_store(&set->has_rings, true);
  ring = ring_new(weight, tier->count);
  for (unsigned i = 0; i < tier->count; i++) {
    const struct backend_entry *entry = &list->entries[tier->members[i]];
    ring_add(ring, entry->backend->address, tier->members[i], entry->weight, weight);
  }
  ring_close(ring);
  if (atomic_compare_exchange_strong(&tier->ring, &none, ring)) return ring;
  ring_free(ring);
  return none;
}

void backends_list_make_rings(struct backends *set, struct backend_list *list) {
  for (unsigned i = 0; i < list->tier_count; i++) backends_ring(set, list, &list->tiers[i]);
}

void backends_make_rings(struct backends_view *view) { backends_list_make_rings(view->set, view->list); }

void backends_publish(struct backends *set, const struct backend_spec *specs, unsigned count) {
  pthread_mutex_lock(&set->lock);
  struct backend_list *list = backends_list_new(set, specs, count);
  pthread_mutex_unlock(&set->lock);
  if (atomic_load(&set->has_rings))
    backends_list_make_rings(set, list); /* or workers would, while requests wait */
  pthread_mutex_lock(&set->lock);
  struct backend_list *old = set->published;
  set->published = list;
  atomic_fetch_add_explicit(&set->version, 1, memory_order_release);
  pthread_mutex_unlock(&set->lock);
  backends_list_release(set, old);
}
