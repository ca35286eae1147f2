// SPDX-License-Identifier: Apache-2.0
// backends_view: how workers use a set: the list that a view has, and what it reports to the set. The hard problem is
// which list is in force: the one that was set last, either by the policy in force or by set:update since; a policy
// that is only being loaded or tried has a list of its own.
#include <stdlib.h>
#include <xxhash.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "shared/backends_parts.h"

static void *make(const void *clock) { return backends_new(clock); }
static void let_go(void *set) { backends_free(set); }
const struct registry_kind backends_kind = {"backends", make, let_go, NULL, NULL};

/* Takes note of a list that a policy states, and returns one that was replaced. Under the lock. */
static struct backend_list *state(struct backends *set, const struct backend_spec *specs, unsigned count) {
  if (backends_list_says(set->stated, specs, count)) return NULL;
  struct backend_list *old = set->stated;
  set->stated = backends_list_new(set, specs, count);
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
  view->list = backends_list_hold(view->version > set->stated_version ? set->published : set->stated);
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
  backends_list_release(set, old);
  return view;
}

/* All workers of a policy share its list, and with it the circles made of it. */
struct backends_view *backends_stage(struct backends *set, const struct backend_spec *specs, unsigned count,
                                     const struct backend_rules *rules, uint64_t seed) {
  struct backends_view *view = new_view(set);
  struct backend_list *old = NULL;
  view->random = seed;
  if (rules) view->rules = *rules;
  pthread_mutex_lock(&set->lock);
  if (backends_list_says(set->stated, specs, count)) {
    take_list_in_force(view);
  } else {
    if (!backends_list_says(set->staged, specs, count)) {
      old = set->staged;
      set->staged = backends_list_new(set, specs, count);
    }
    set->staged_views++;
    view->is_staged = true;
    view->list = backends_list_hold(set->staged);
    view->version = BACKENDS_STAGED;
  }
  pthread_mutex_unlock(&set->lock);
  backends_list_release(set, old);
  return view;
}

static bool is_equal(const struct backend_list *a, const struct backend_list *b) {
  if (!a || a->count != b->count) return false;
  for (unsigned i = 0; i < a->count; i++) {
    const struct backend_entry *x = &a->entries[i], *y = &b->entries[i];
    if (x->backend != y->backend || x->given != y->given || x->tier != y->tier) return false;
  }
  return true;
}

/* Under the lock. The last one leaves no trace in the set; what is to be released then. */
static struct backend_list *end_stage(struct backends_view *view) {
  struct backends *set = view->set;
  struct backend_list *staged = set->staged;
  if (!view->is_staged) return NULL;
  view->is_staged = false;
  CHECK(set->staged_views > 0);
  if (--set->staged_views > 0) return NULL;
  set->staged = NULL;
  return staged;
}

void backends_commit(struct backends_view *view) {
  struct backends *set = view->set;
  struct backend_list *own = view->list, *stated = NULL, *staged = NULL;
  if (!view->is_staged) return;
  pthread_mutex_lock(&set->lock);
  if (!is_equal(set->stated, own)) {
    stated = set->stated;
    set->stated = backends_list_is_current(own) ? backends_list_hold(own) : backends_list_again(set, own);
    set->stated_version = atomic_load(&set->version);
  }
  staged = end_stage(view);
  take_list_in_force(view);
  pthread_mutex_unlock(&set->lock);
  free(view->turns);
  view->turns = NULL;
  backends_list_release(set, own);
  backends_list_release(set, stated);
  backends_list_release(set, staged);
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
  pthread_mutex_lock(&view->set->lock);
  struct backend_list *staged = end_stage(view);
  pthread_mutex_unlock(&view->set->lock);
  backends_list_release(view->set, staged);
  backends_list_release(view->set, view->list);
  backends_let_go(view->set);
  free(view->turns);
  free(view);
}

void backends_look(struct backends_view *view) {
  struct backends *set = view->set;
  if (atomic_load_explicit(&set->version, memory_order_acquire) == view->version || view->is_staged) return;
  struct backend_list *old = view->list;
  pthread_mutex_lock(&set->lock);
  view->version = atomic_load(&set->version);
  view->list = backends_list_hold(set->published);
  pthread_mutex_unlock(&set->lock);
  free(view->turns);
  view->turns = NULL;
  backends_list_release(set, old);
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
    ready += backend_is_enabled(b) && backend_is_fit(b, now_ms);
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
  bool needs_time = failed || rules->error_percent;
  uint64_t now_ms = needs_time ? backends_now_ms(view->set) : 0;
  const char *why = backend_report(backend, rules, failed, now_ms);
  if (!why) return;
  pthread_mutex_lock(&view->set->lock);
  bool ejects = may_eject(view, backend, now_ms);
  struct str name = view->set->name; /* which stays while the set does */
  if (ejects) backend_eject(backend, rules, now_ms);
  pthread_mutex_unlock(&view->set->lock);
  if (!ejects) return;
  log_about(LOG_WARN, backend->address, "set '%.*s': backend %.*s is ejected for %.1f s: %s", STR_ARG(name),
            STR_ARG(backend->address), (double)(atomic_load(&backend->ejected_until_ms) - now_ms) / 1000,
            why);
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
