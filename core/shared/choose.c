// SPDX-License-Identifier: Apache-2.0
// choose: the algorithms. The hard problem is that any backend may have to be skipped, and the others must
// then get its share in proportion to their weights: an algorithm asks `serves` for each candidate, and tries
// another one by its own rule. What else a choice needs (the time, panic) is looked up once, when it is first
// needed.
#include "shared/choose.h"

#include <stdio.h>

#include "base/error.h"
#include "base/memory.h"
#include "base/random.h"
#include "shared/ring.h"

struct pick {
  struct backends_view *view;
  const struct backend_list *list;
  struct backend_tier *tier;
  struct choice *choice;
  uint64_t read_ms; /* the time; 0: not looked at yet */
  bool takes_unfit; /* panic: too few are fit */
  bool takes_cold;  /* slow start is not heeded: there is no other */
  bool passed_cold;
};

#define X(name) static int pick_##name(struct pick *p);
ALGORITHM_TABLE(X)
#undef X

static int (*const algorithms[])(struct pick *p) = {
#define X(name) pick_##name,
    ALGORITHM_TABLE(X)
#undef X
};

/* --- tiers ------------------------------------------------------------------------------------------- */

static uint64_t now_ms(struct pick *p) {
  if (!p->read_ms) p->read_ms = backends_now_ms(p->view->set);
  return p->read_ms;
}

static bool panics(struct pick *p) {
  unsigned enabled = 0, fit = 0;
  if (!p->view->rules.panic_percent) return false;
  for (unsigned i = 0; i < p->tier->count; i++) {
    struct backend *b = p->list->entries[p->tier->members[i]].backend;
    enabled += backend_is_enabled(b);
    fit += backend_is_enabled(b) && backend_is_fit(b, now_ms(p));
  }
  return fit * 100ull < (uint64_t)enabled * p->view->rules.panic_percent;
}

static int pick_in_tier(struct pick *p, enum algorithm algorithm) {
  p->takes_cold = p->passed_cold = false;
  int index = algorithms[algorithm](p);
  if (index != BACKEND_NONE || !p->passed_cold) return index;
  p->takes_cold = true;
  return algorithms[algorithm](p);
}

/* A tier in panic is used only where no other helps out. */
static int choose(struct backends_view *view, enum algorithm algorithm, struct choice *choice) {
  struct pick p = {.view = view, .list = view->list, .choice = choice};
  choice->overloaded = false;
  for (unsigned pass = 0; pass < 2; pass++) {
    bool is_needed = false;
    for (unsigned i = 0; i < p.list->tier_count; i++) {
      p.tier = &p.list->tiers[i];
      bool in_panic = panics(&p);
      is_needed |= in_panic;
      if (in_panic != pass) continue;
      p.takes_unfit = in_panic;
      int index = pick_in_tier(&p, algorithm);
      if (index != BACKEND_NONE) return index;
    }
    if (!is_needed) break;
  }
  return BACKEND_NONE;
}

/* Only where all that serve were tried are they tried again. */
int backends_choose(struct backends_view *view, enum algorithm algorithm, struct choice *choice) {
  if (choice->tried && !choice->tried->count) choice->tried = NULL;
  int index = choose(view, algorithm, choice);
  if (index != BACKEND_NONE || !choice->tried) return index;
  choice->tried = NULL;
  return choose(view, algorithm, choice);
}

const char *choice_explain(const struct backends_view *view, const struct choice *choice, struct str set,
                           char room[CHOICE_BYTES]) {
  unsigned count = view->list->count, enabled = 0;
  for (unsigned i = 0; i < count; i++) enabled += backend_is_enabled(backends_at(view, i));
  int name = set.len > 100 ? 100 : (int)set.len;
  if (choice->overloaded)
    snprintf(room, CHOICE_BYTES, "set '%.*s': %s", name, set.ptr, error_info(ERROR_OVERLOADED)->text);
  else if (!count)
    snprintf(room, CHOICE_BYTES, "set '%.*s': it has no backends", name, set.ptr);
  else if (!enabled)
    snprintf(room, CHOICE_BYTES, "set '%.*s': %u backend%s, and each is drained or disabled", name, set.ptr,
             count, plural(count));
  else
    snprintf(room, CHOICE_BYTES, "set '%.*s': none of %u backend%s is healthy%s", name, set.ptr, count,
             plural(count), choice->excluded_count ? " and not excluded" : "");
  return room;
}

bool backends_have_other(const struct backends_view *view, const struct tried *tried) {
  uint64_t read_ms = backends_now_ms(view->set);
  for (unsigned i = 0; i < view->list->count; i++) {
    struct backend *b = backends_at(view, i);
    if (!backend_is_enabled(b) || tried_has(tried, b->hash)) continue;
    enum backend_standing standing = backend_standing(b, &view->rules, read_ms);
    if (standing == BACKEND_FIT || standing == BACKEND_RAMPING) return true;
  }
  return false;
}

/* --- candidates -------------------------------------------------------------------------------------- */

static bool is_excluded(const struct choice *choice, unsigned index, uint64_t hash) {
  for (unsigned i = 0; i < choice->excluded_count; i++)
    if (choice->excluded[i] == index) return true;
  return choice->tried && tried_has(choice->tried, hash);
}

/* Slow start: a backend that came back is passed over by chance, less and less often. */
static bool is_too_cold(struct pick *p, const struct backend *b) {
  if (p->takes_cold) return false;
  double ramp = backend_ramp(b, &p->view->rules, now_ms(p));
  bool passed = (double)(random_next(&p->view->random) >> 11) * 0x1p-53 >= ramp;
  p->passed_cold |= passed;
  return passed;
}

/* May the backend at this position of the list be chosen? */
static bool serves(struct pick *p, unsigned index) {
  struct backend *b = p->list->entries[index].backend;
  if (!backend_is_enabled(b) || is_excluded(p->choice, index, b->hash)) return false;
  if (backend_is_plainly_fit(b, &p->view->rules)) return true;
  switch (backend_standing(b, &p->view->rules, now_ms(p))) {
  case BACKEND_FIT: return true;
  case BACKEND_RAMPING: return !is_too_cold(p, b);
  case BACKEND_FULL: break;
  case BACKEND_UNFIT:
    if (!p->takes_unfit) return false;
    if (!backend_is_full(b, &p->view->rules)) return true;
  }
  p->choice->overloaded = true;
  return false;
}

/* The position of the member in whose stretch of the weights `place` lies. */
static unsigned at_weight(const struct backend_tier *tier, uint64_t place) {
  unsigned low = 0, high = tier->count - 1;
  while (low < high) {
    unsigned middle = low + (high - low + 1) / 2;
    if (tier->before[middle] <= place)
      low = middle;
    else
      high = middle - 1;
  }
  return tier->members[low];
}

static uint64_t weight_of(const struct backend_tier *tier) { return tier->before[tier->count]; }

/* By weight among those that serve, exactly; for when chance found none. `but` is left out. */
static int pick_exactly(struct pick *p, int but) {
  uint64_t weight = 0;
  int chosen = BACKEND_NONE;
  for (unsigned i = 0; i < p->tier->count; i++) {
    unsigned index = p->tier->members[i];
    if ((int)index == but || !serves(p, index)) continue;
    weight += p->list->entries[index].weight;
    if (random_below(&p->view->random, weight) < p->list->entries[index].weight) chosen = (int)index;
  }
  return chosen;
}

static int pick_by_chance(struct pick *p, int but) {
  for (int tries = 0; tries < 8; tries++) {
    unsigned index = at_weight(p->tier, random_below(&p->view->random, weight_of(p->tier)));
    if ((int)index != but && serves(p, index)) return (int)index;
  }
  return pick_exactly(p, but);
}

/* --- in turn ----------------------------------------------------------------------------------------- */

/* As in Pingora: the first pick is from the list in which each backend stands `weight` times; when that does
 * not serve, further picks go round the plain list. */
static int pick_round_robin(struct pick *p) {
  unsigned count = p->tier->count, limit = p->choice->max_picks;
  for (unsigned i = 0; limit ? i < limit : i < count + 1; i++) {
    uint64_t turn = p->choice->takes_no_turn ? i : backends_turn(p->view->set);
    unsigned index = i == 0 ? at_weight(p->tier, turn % weight_of(p->tier)) : p->tier->members[turn % count];
    if (serves(p, index)) return (int)index;
  }
  return limit ? BACKEND_NONE : pick_exactly(p, BACKEND_NONE); /* others took turns in between */
}

/* As in nginx: all that serve gain their weight, the richest is chosen and pays for all. */
static int turn_smoothly(struct pick *p) {
  int64_t *turns = p->view->turns, total = 0;
  int chosen = BACKEND_NONE;
  for (unsigned i = 0; i < p->tier->count; i++) {
    unsigned index = p->tier->members[i];
    if (!serves(p, index)) continue;
    turns[index] += p->list->entries[index].weight;
    total += p->list->entries[index].weight;
    if (chosen == BACKEND_NONE || turns[index] > turns[chosen]) chosen = (int)index;
  }
  if (chosen != BACKEND_NONE) turns[chosen] -= total;
  return chosen;
}

/* Each worker begins somewhere else in the round, or all would give their first request to the same one. */
static int pick_smooth(struct pick *p) {
  struct backends_view *view = p->view;
  if (!view->turns) {
    view->turns = memory_zalloc(view->list->count * sizeof *view->turns);
    uint64_t round = weight_of(p->tier) < 256 ? weight_of(p->tier) : 256;
    for (uint64_t skip = view->random ? random_below(&view->random, round) : 0; skip > 0; skip--)
      turn_smoothly(p);
  }
  return turn_smoothly(p);
}

static int pick_random(struct pick *p) { return pick_by_chance(p, BACKEND_NONE); }

/* --- by key ------------------------------------------------------------------------------------------ */

uint64_t fnv1a_64(struct str text) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (size_t i = 0; i < text.len; i++) hash = (hash ^ (unsigned char)text.ptr[i]) * 0x100000001b3u;
  return hash;
}

static uint64_t hash_again(uint64_t hash) {
  char bytes[8];
  for (int i = 0; i < 8; i++) bytes[i] = (char)(hash >> 8 * i);
  return fnv1a_64((struct str){bytes, sizeof bytes});
}

/* As in Pingora: by weight first, then the hash of the hash, without weights. */
static int pick_hash(struct pick *p) {
  unsigned count = p->tier->count, limit = p->choice->max_picks ? p->choice->max_picks : 2 * count + 8;
  uint64_t hash = fnv1a_64(p->choice->key);
  for (unsigned i = 0; i < limit; i++) {
    if (i > 0) hash = hash_again(hash);
    unsigned index = i == 0 ? at_weight(p->tier, hash % weight_of(p->tier)) : p->tier->members[hash % count];
    if (serves(p, index)) return (int)index;
  }
  for (unsigned i = 0; i < count && !p->choice->max_picks; i++) /* few serve, and the hash missed them */
    if (serves(p, p->tier->members[(hash + i) % count])) return (int)p->tier->members[(hash + i) % count];
  return BACKEND_NONE;
}

/* Does the backend have room for one more, where each may have a quarter more than its share of all? */
static bool has_room(const struct pick *p, uint64_t in_flight, unsigned index) {
  const struct backend_entry *entry = &p->list->entries[index];
  uint64_t most = (in_flight + 1) * 5 * entry->weight, shares = 4 * weight_of(p->tier);
  return atomic_load_explicit(&entry->backend->in_flight, memory_order_relaxed) <
         (most + shares - 1) / shares;
}

/* Goes along the circle. Most points that follow are of backends that were refused already: those are not
 * asked again, as far as they can be remembered. */
static int go_round(struct pick *p, const uint64_t *in_flight) {
  const struct ring *ring = backends_ring(p->view->set, p->list, p->tier);
  unsigned at = ring_find(ring, p->choice->key), refused_count = 0;
  uint32_t refused[64];
  for (unsigned i = 0; i < ring->count && refused_count < p->tier->count; i++) {
    uint32_t index = ring->points[(at + i) % ring->count].member;
    bool is_known = false;
    for (unsigned k = 0; k < refused_count && k < 64 && !is_known; k++) is_known = refused[k] == index;
    if (is_known) continue;
    if (serves(p, index) && (!in_flight || has_room(p, *in_flight, index))) return (int)index;
    if (refused_count < 64) refused[refused_count++] = index;
  }
  return BACKEND_NONE;
}

static int pick_consistent(struct pick *p) { return go_round(p, NULL); }

/* Mirrokni, Thorup and Zadimoghaddam 2016. Where no one has room, because some do not serve, the key's own
 * serves. */
static int pick_bounded(struct pick *p) {
  uint64_t in_flight = 0;
  for (unsigned i = 0; i < p->tier->count; i++)
    in_flight +=
        atomic_load_explicit(&p->list->entries[p->tier->members[i]].backend->in_flight, memory_order_relaxed);
  int index = go_round(p, &in_flight);
  return index != BACKEND_NONE ? index : go_round(p, NULL);
}

/* --- by load ----------------------------------------------------------------------------------------- */

static double load_of(const struct pick *p, unsigned index) {
  const struct backend_entry *entry = &p->list->entries[index];
  return (atomic_load_explicit(&entry->backend->in_flight, memory_order_relaxed) + 1.0) / entry->weight;
}

/* Equals take turns by where the search begins. */
static int pick_least_connections(struct pick *p) {
  unsigned count = p->tier->count, from = (unsigned)random_below(&p->view->random, count);
  int chosen = BACKEND_NONE;
  double least = 0;
  for (unsigned i = 0; i < count; i++) {
    unsigned index = p->tier->members[(from + i) % count];
    if (!serves(p, index)) continue;
    double load = load_of(p, index);
    if (chosen != BACKEND_NONE && load >= least) continue;
    chosen = (int)index;
    least = load;
  }
  return chosen;
}

/* A backend of which nothing is known is tried, but not by all at once. */
static double cost_of(struct pick *p, unsigned index) {
  const struct backend *b = p->list->entries[index].backend;
  double latency_us = backend_latency_us(b, now_ms(p));
  bool is_new = latency_us <= 0 && atomic_load_explicit(&b->in_flight, memory_order_relaxed) > 0;
  return ((is_new ? 1e6 : latency_us) + 1) * load_of(p, index);
}

static int pick_least_latency(struct pick *p) {
  int one = pick_by_chance(p, BACKEND_NONE);
  if (one == BACKEND_NONE) return BACKEND_NONE;
  int two = pick_by_chance(p, one);
  if (two == BACKEND_NONE) return one;
  return cost_of(p, (unsigned)two) < cost_of(p, (unsigned)one) ? two : one;
}
