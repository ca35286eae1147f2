// SPDX-License-Identifier: Apache-2.0
// backends: the set, its lists and its views. The one hard problem is how long a backend lives: it is
// dropped, under the set's lock, when no list names it and no attempt is under way at it; and an attempt can
// only begin through a list. A set lives while its owner or a view holds it.
#include "shared/backends.h"

#include <pthread.h>
#include <stdlib.h>
#include <xxhash.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "shared/ring.h"

enum { BUCKETS = 256 };

struct backends {
  pthread_mutex_t lock;
  const struct clock *clock; /* borrowed */
  atomic_uint refs;
  _Atomic uint64_t version;       /* counts publications */
  _Atomic uint64_t turns;         /* of round robin */
  atomic_uint retries;            /* under way */
  struct backend_list *published; /* reference, or NULL */
  struct backend_list *stated;    /* reference, or NULL: the last one that a policy stated */
  uint64_t stated_version;        /* when that was stated first */
  _Atomic bool has_rings;         /* somebody has asked for one */
  bool starts_unhealthy;
  struct backend *buckets[BUCKETS]; /* owned */
};

static void list_release(struct backends *set, struct backend_list *list);
static void release(struct backends *set);

struct backends *backends_new(const struct clock *clock) {
  struct backends *set = memory_zalloc(sizeof *set);
  pthread_mutex_init(&set->lock, NULL);
  set->clock = clock;
  atomic_init(&set->refs, 1);
  return set;
}

void backends_free(struct backends *set) {
  if (!set) return;
  list_release(set, set->published);
  list_release(set, set->stated);
  set->published = set->stated = NULL;
  release(set);
}

static void release(struct backends *set) {
  unsigned refs = atomic_fetch_sub(&set->refs, 1);
  CHECK(refs > 0);
  if (refs != 1) return;
  for (unsigned i = 0; i < BUCKETS; i++) {
    for (struct backend *b = set->buckets[i], *next; b; b = next) {
      next = b->next;
      free(b);
    }
  }
  pthread_mutex_destroy(&set->lock);
  free(set);
}

uint64_t backends_now_ms(const struct backends *set) { return clock_now_ms(set->clock); }

uint64_t backends_turn(struct backends *set) {
  return atomic_fetch_add_explicit(&set->turns, 1, memory_order_relaxed);
}

/* --- the backends by address, under the lock ------------------------------------------------------------ */

static struct backend *find_or_add(struct backends *set, struct str address) {
  uint64_t hash = XXH3_64bits(address.ptr, address.len);
  struct backend **bucket = &set->buckets[hash % BUCKETS];
  for (struct backend *b = *bucket; b; b = b->next)
    if (b->hash == hash && str_equal(b->address, address)) return b;
  struct backend *b = backend_new(address, hash);
  atomic_init(&b->healthy, !set->starts_unhealthy);
  b->next = *bucket;
  *bucket = b;
  return b;
}

static void prune(struct backends *set) {
  for (unsigned i = 0; i < BUCKETS; i++) {
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
  for (unsigned i = 0; i < BUCKETS; i++)
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
static struct backend_list *list_new(struct backends *set, const struct backend_spec *specs, unsigned count) {
  struct backend_list *list = memory_zalloc(sizeof *list);
  atomic_init(&list->refs, 1);
  list->count = count;
  list->entries = memory_zalloc((count ? count : 1) * sizeof *list->entries);
  for (unsigned i = 0; i < count; i++) {
    struct backend_spec spec = as_stored(specs[i]);
    struct backend *backend = find_or_add(set, spec.address);
    backend->listings++;
    list->entries[i] = (struct backend_entry){backend, spec.weight, spec.tier};
  }
  sort_into_tiers(list);
  return list;
}

/* Under the lock. */
static bool list_says(const struct backend_list *list, const struct backend_spec *specs, unsigned count) {
  if (!list || list->count != count) return false;
  for (unsigned i = 0; i < count; i++) {
    const struct backend_entry *entry = &list->entries[i];
    struct backend_spec spec = as_stored(specs[i]);
    if (!str_equal(entry->backend->address, spec.address)) return false;
    if (entry->weight != spec.weight || entry->tier != spec.tier) return false;
  }
  return true;
}

static struct backend_list *list_hold(struct backend_list *list) {
  CHECK(atomic_load(&list->refs) > 0);
  atomic_fetch_add(&list->refs, 1);
  return list;
}

static void list_release(struct backends *set, struct backend_list *list) {
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

static void make_rings(struct backends *set, struct backend_list *list) {
  for (unsigned i = 0; i < list->tier_count; i++) backends_ring(set, list, &list->tiers[i]);
}

void backends_make_rings(struct backends_view *view) { make_rings(view->set, view->list); }

void backends_publish(struct backends *set, const struct backend_spec *specs, unsigned count) {
  pthread_mutex_lock(&set->lock);
  struct backend_list *list = list_new(set, specs, count);
  pthread_mutex_unlock(&set->lock);
  if (atomic_load(&set->has_rings)) make_rings(set, list); /* or workers would, while requests wait */
  pthread_mutex_lock(&set->lock);
  struct backend_list *old = set->published;
  set->published = list;
  atomic_fetch_add_explicit(&set->version, 1, memory_order_release);
  pthread_mutex_unlock(&set->lock);
  list_release(set, old);
}

/* --- views ------------------------------------------------------------------------------------------- */

/* Takes note of a list that a policy states, and returns one that was replaced. Under the lock. */
static struct backend_list *state(struct backends *set, const struct backend_spec *specs, unsigned count) {
  if (list_says(set->stated, specs, count)) return NULL;
  struct backend_list *old = set->stated;
  set->stated = list_new(set, specs, count);
  set->stated_version = atomic_load(&set->version);
  return old;
}

static struct backends_view *new_view(struct backends *set) {
  struct backends_view *view = memory_zalloc(sizeof *view);
  view->set = set;
  view->refs = 1;
  atomic_fetch_add(&set->refs, 1);
  return view;
}

/* Under the lock. */
static void take_list_in_force(struct backends_view *view) {
  struct backends *set = view->set;
  view->version = atomic_load(&set->version);
  view->list = list_hold(view->version > set->stated_version ? set->published : set->stated);
}

struct backends_view *backends_view(struct backends *set, const struct backend_spec *specs, unsigned count,
                                    const struct backend_rules *rules, uint64_t seed) {
  struct backends_view *view = new_view(set);
  view->random = seed;
  if (rules) view->rules = *rules;
  pthread_mutex_lock(&set->lock);
  struct backend_list *old = state(set, specs, count);
  take_list_in_force(view);
  pthread_mutex_unlock(&set->lock);
  list_release(set, old);
  return view;
}

struct backends_view *backends_watch(struct backends *set) {
  struct backends_view *view = NULL;
  pthread_mutex_lock(&set->lock);
  if (set->stated) take_list_in_force(view = new_view(set));
  pthread_mutex_unlock(&set->lock);
  return view;
}

void backends_view_release(struct backends_view *view) {
  CHECK(view->refs > 0);
  if (--view->refs > 0) return;
  list_release(view->set, view->list);
  release(view->set);
  free(view->turns);
  free(view);
}

void backends_look(struct backends_view *view) {
  struct backends *set = view->set;
  if (atomic_load_explicit(&set->version, memory_order_acquire) == view->version) return;
  struct backend_list *old = view->list;
  pthread_mutex_lock(&set->lock);
  view->version = atomic_load(&set->version);
  view->list = list_hold(set->published);
  pthread_mutex_unlock(&set->lock);
  free(view->turns);
  view->turns = NULL;
  list_release(set, old);
}

int backends_find(const struct backends_view *view, struct str address) {
  uint64_t hash = XXH3_64bits(address.ptr, address.len);
  for (unsigned i = 0; i < view->list->count; i++) {
    const struct backend *b = backends_at(view, i);
    if (b->hash == hash && str_equal(b->address, address)) return (int)i;
  }
  return BACKEND_NONE;
}

unsigned backends_ready_count(const struct backends_view *view) {
  unsigned ready = 0;
  uint64_t now_ms = backends_now_ms(view->set);
  for (unsigned i = 0; i < view->list->count; i++) {
    struct backend *b = backends_at(view, i);
    ready += atomic_load(&b->enabled) && backend_is_fit(b, now_ms);
  }
  return ready;
}

bool backends_set_healthy(struct backends_view *view, unsigned index, bool healthy) {
  return backend_set_healthy(backends_at(view, index), healthy, backends_now_ms(view->set));
}

/* --- results ----------------------------------------------------------------------------------------- */

/* Under the lock, so that two workers do not each eject the last that may go. */
static bool may_eject(const struct backends_view *view, const struct backend *backend, uint64_t now_ms) {
  unsigned out = 0;
  if (backend_is_ejected(backend, now_ms)) return false;
  for (unsigned i = 0; i < view->list->count; i++) out += backend_is_ejected(backends_at(view, i), now_ms);
  return (out + 1) * 100ull <= (uint64_t)view->list->count * view->rules.eject_percent;
}

void backends_report(struct backends_view *view, struct backend *backend, bool failed) {
  const struct backend_rules *rules = &view->rules;
  if (!rules->failures && !rules->error_percent) return;
  uint64_t now_ms = backends_now_ms(view->set);
  const char *why = backend_report(backend, rules, failed, now_ms);
  if (!why) return;
  pthread_mutex_lock(&view->set->lock);
  bool ejects = may_eject(view, backend, now_ms);
  if (ejects) backend_eject(backend, rules, now_ms);
  pthread_mutex_unlock(&view->set->lock);
  if (!ejects) return;
  log_about(LOG_WARN, backend->address, "backend %.*s is ejected for %.1f s: %s", STR_ARG(backend->address),
            (double)(atomic_load(&backend->ejected_until_ms) - now_ms) / 1000, why);
}

bool backends_take_retry(struct backends_view *view) {
  const struct backend_rules *rules = &view->rules;
  uint64_t live = 0;
  for (unsigned i = 0; i < view->list->count; i++) live += atomic_load(&backends_at(view, i)->in_flight);
  uint64_t most = live * rules->retry_percent / 100;
  if (most < rules->retry_min) most = rules->retry_min;
  if (atomic_fetch_add(&view->set->retries, 1) < most || !rules->retry_percent) return true;
  backends_give_retry(view);
  return false;
}

void backends_give_retry(struct backends_view *view) {
  unsigned retries = atomic_fetch_sub(&view->set->retries, 1);
  CHECK(retries > 0);
  (void)retries;
}
