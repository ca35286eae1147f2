// SPDX-License-Identifier: Apache-2.0
// backends: a set of backends that all workers share, and the lists of it. The list changes while requests
// run; what is known about a backend is kept by its address.
//
// Words. set: the backends by address, with all that is known about them; process-wide. list: which of them are
// in use, with weights and tiers; never changed after it was made. view: one user's reference to the set (a
// worker's Lua handle), which holds a list. A view belongs to one thread; it compares one number to see whether
// there is a new list, so choosing takes no lock. tier: backends that are preferred to those of the next tier.
#ifndef PERILUNE_SHARED_BACKENDS_H
#define PERILUNE_SHARED_BACKENDS_H

#include "base/clock.h"
#include "shared/backend.h"
#include "shared/registry.h"

struct backends;
struct ring;

struct backend_spec {
  struct str address; /* as the policy wrote it: "1.1.1.1:443", copied */
  unsigned weight;    /* 0 counts as 1 */
  unsigned tier;      /* 0 is used first; below BACKENDS_TIERS */
};

enum { BACKENDS_MAX = 65535, BACKENDS_TIERS = 32, BACKEND_NONE = -1 };

struct backend_entry {
  struct backend *backend; /* borrowed from the set, which keeps what is listed */
  unsigned weight, tier;
  unsigned given; /* its weight as the policy says it: people may have said another one */
};

struct backend_tier {
  unsigned *members; /* owned; positions in the list */
  uint64_t *before;  /* owned; the weights of all members before each, and last of all */
  unsigned count;
  _Atomic(struct ring *) ring; /* owned; made by the first consistent choice */
};

struct backend_list {
  atomic_uint refs;
  unsigned count, tier_count;
  struct backend_entry *entries; /* owned; in the order given */
  struct backend_tier *tiers;    /* owned; none is empty */
};

/* The version of a view whose list is not the set's: neither one of a set, nor that of no list at all. */
#define BACKENDS_STAGED (UINT64_MAX - 1)

struct backends_view {
  struct backends *set;      /* reference */
  struct backend_list *list; /* reference */
  uint64_t version;          /* of the set, when the list was taken */
  struct backend_rules rules;
  bool is_staged;  /* the list is its own: see backends_stage */
  uint64_t random; /* the state of its generator */
  int64_t *turns;  /* owned; of smooth round robin over this list, or NULL */
  unsigned refs;
};

/* Sets as shared objects of the registry, for policies in Lua and in C alike; their configuration is the clock. */
extern const struct registry_kind backends_kind;

/* An empty set. `clock` is borrowed and must outlive it. */
struct backends *backends_new(const struct clock *clock);
/* The owner lets go; it lives on while there are views. */
void backends_free(struct backends *set);
/* Takes a new list into use, in all views. The specs are at most BACKENDS_MAX. */
void backends_publish(struct backends *set, const struct backend_spec *specs, unsigned count);
/* Are backends that were never checked taken to be healthy? True without. Holds for those that come, too. */
void backends_set_start(struct backends *set, bool healthy);
/* Its name in the registry, by which people call it: their orders hold from then on. Said again it does nothing. */
void backends_name(struct backends *set, struct str name);
/* The table of orders has changed. */
void backends_take_orders(struct backends *set);
uint64_t backends_now_ms(const struct backends *set);
/* One more than at the last call: the turn of round robin. */
uint64_t backends_turn(struct backends *set);

/* A view of the set with the list that its policy states. What was said last is in force: a list published
 * since a policy first stated this one goes before it. `seed` 0 makes a view whose choices are always the
 * same. */
struct backends_view *backends_view(struct backends *set, const struct backend_spec *specs, unsigned count,
                                    const struct backend_rules *rules, uint64_t seed);
/* The same for a policy that is not in force: the view has the list that it states, unless that is stated already, and
 * nobody else sees it, until backends_commit says that the policy is. */
struct backends_view *backends_stage(struct backends *set, const struct backend_spec *specs, unsigned count,
                                     const struct backend_rules *rules, uint64_t seed);
/* Does nothing for other views. */
void backends_commit(struct backends_view *view);
/* A view of the list in force, for who only looks on. NULL: no policy has stated one yet. */
struct backends_view *backends_watch(struct backends *set);
static inline struct backends_view *backends_view_hold(struct backends_view *view) {
  view->refs++;
  return view;
}
void backends_view_release(struct backends_view *view);
/* Takes up a new list, where there is one. All below take it for given that this was called. */
void backends_look(struct backends_view *view);

static inline unsigned backends_count(const struct backends_view *view) { return view->list->count; }
static inline struct backend *backends_at(const struct backends_view *view, unsigned index) {
  return view->list->entries[index].backend;
}
/* The circle of a tier of the set's list, which is made when it is first asked for; and from then on with each
 * list that is published. */
const struct ring *backends_ring(struct backends *set, const struct backend_list *list,
                                 struct backend_tier *tier);
/* Makes those of the list that the view has, where it takes no time from requests. */
void backends_make_rings(struct backends_view *view);
/* The position of an address in the list, or BACKEND_NONE. */
int backends_find(const struct backends_view *view, struct str address);
/* Healthy, not ejected, and enabled. */
unsigned backends_ready_count(const struct backends_view *view);
/* Health is for checks, enabled for people; a backend is used when both hold. Whether that changed it. */
bool backends_set_healthy(struct backends_view *view, unsigned index, bool healthy);

/* A result of the backend; where the rules say so it is ejected, unless too many of the set are already. */
void backends_report(struct backends_view *view, struct backend *backend, bool failed);
/* One more retry under way; false where the budget of the rules is used up. */
bool backends_take_retry(struct backends_view *view);
void backends_give_retry(struct backends_view *view);

#endif
