// SPDX-License-Identifier: Apache-2.0
// Units for shared/choose: sequences as others have them, and shares over 100,000 choices.
#include "shared/choose.h"

#include <math.h>
#include <stdio.h>

#include "set.h"
#include "threads.h"
#include "unit.h"

enum { MANY = 100000, LARGE = 10 };

static struct backend_spec large[LARGE];
static char large_text[LARGE][16];

/* Ten backends with the weights 1 to 10, or 1. */
static void make_large(bool weighted) {
  for (unsigned i = 0; i < LARGE; i++) {
    snprintf(large_text[i], sizeof large_text[i], "10.0.0.%u:80", i + 1);
    large[i] = (struct backend_spec){str_of(large_text[i]), weighted ? i + 1 : 1, 0};
  }
}

static void set_all_healthy(struct set_under_test *t, bool healthy) {
  for (unsigned i = 0; i < backends_count(t->view); i++) backends_set_healthy(t->view, i, healthy);
}

static int key_of(unsigned number, char text[16]) { return snprintf(text, 16, "test%u", number); }

static void count_choices(struct set_under_test *t, enum algorithm algorithm, unsigned counts[LARGE]) {
  for (unsigned i = 0; i < LARGE; i++) counts[i] = 0;
  for (unsigned i = 0; i < MANY; i++) {
    char key[16];
    key_of(i, key);
    int index = set_choose(t, algorithm, key);
    if (CHECK(index != BACKEND_NONE)) counts[index]++;
  }
}

/* Of all choices, the shares are those of the weights to within `percent` of all. */
static bool is_by_weight(struct set_under_test *t, const unsigned *counts, double percent) {
  bool holds = true;
  uint64_t weight = 0;
  for (unsigned i = 0; i < backends_count(t->view); i++) weight += t->view->list->entries[i].weight;
  for (unsigned i = 0; i < backends_count(t->view); i++) {
    double wanted = 100.0 * t->view->list->entries[i].weight / (double)weight;
    double got = 100.0 * counts[i] / MANY;
    if (fabs(got - wanted) > percent) printf("backend %u: %.2f %% instead of %.2f %%\n", i, got, wanted);
    holds &= fabs(got - wanted) <= percent;
  }
  return holds;
}

/* --- round robin --------------------------------------------------------------------------------------- */

static int turn(struct set_under_test *t, unsigned max_picks) {
  struct choice choice = {.max_picks = max_picks};
  return backends_choose(t->view, ALGORITHM_round_robin, &choice);
}

static void check_turns(struct set_under_test *t, unsigned max_picks, const int *wanted, unsigned count) {
  for (unsigned i = 0; i < count; i++) CHECK(turn(t, max_picks) == wanted[i]);
}

IT("goes round by weight: eight of ten first picks are the heavy one's") {
  struct set_under_test t;
  set_open(&t, SET_WEIGHTED);
  const int round[] = {B2, B2, B2, B2, B2, B2, B2, B2, B3, B1};
  for (int i = 0; i < 3; i++) check_turns(&t, 1, round, 10);
  set_close(&t);
}

/* b2, b3, b1, b2, b3 are the five picks of one call: seen by letting only the wanted one be ready. */
IT("goes round the plain list when the first pick is refused") {
  const int second_to_third[] = {B3, B1};
  for (unsigned i = 0; i < 2; i++) {
    for (unsigned enough = 0; enough < 2; enough++) {
      struct set_under_test t;
      set_open(&t, SET_WEIGHTED);
      set_all_healthy(&t, false);
      backends_set_healthy(t.view, (unsigned)second_to_third[i], true);
      CHECK(turn(&t, i + 1 + enough) == (enough ? second_to_third[i] : BACKEND_NONE));
      set_close(&t);
    }
  }
}

IT("counts refused picks too, so the next calls begin behind them") {
  struct set_under_test t;
  set_open(&t, SET_WEIGHTED);
  set_all_healthy(&t, false);
  CHECK(turn(&t, 5) == BACKEND_NONE); /* b2, b3, b1, b2, b3 */
  set_all_healthy(&t, true);
  const int next[] = {B2, B2, B2, B3, B1, B2, B2};
  check_turns(&t, 5, next, 7);
  set_close(&t);
}

IT("finds the fourth and fifth pick of one call where the list was gone round once") {
  struct set_under_test t;
  set_open(&t, SET_WEIGHTED);
  set_all_healthy(&t, false);
  CHECK(turn(&t, 3) == BACKEND_NONE); /* b2, b3, b1 */
  CHECK(turn(&t, 2) == BACKEND_NONE); /* weighted 3: b2, plain 4: b3 */
  backends_set_healthy(t.view, B1, true);
  CHECK(turn(&t, 4) == B1); /* weighted 5: b2, plain 6: b2, 7: b3, 8: b1 */
  set_close(&t);
}

IT("takes weights whose sum is beyond 32 bits") {
  const struct backend_spec heavy[] = {
      {STR_INIT("a:1"), 1, 0}, {STR_INIT("b:1"), 4294967295u, 0}, {STR_INIT("c:1"), 4294967295u, 0}};
  struct set_under_test t;
  set_open(&t, heavy, 3);
  CHECK(turn(&t, 1) == 0 && turn(&t, 1) == 1 && turn(&t, 1) == 1);
  set_close(&t);
}

/* a a b a c a a: the sequence that nginx made known. */
IT("spreads the turns of the heavy ones evenly") {
  const struct backend_spec specs[] = {
      {STR_INIT("a:1"), 5, 0}, {STR_INIT("b:1"), 1, 0}, {STR_INIT("c:1"), 1, 0}};
  const int round[] = {0, 0, 1, 0, 2, 0, 0};
  struct set_under_test t;
  set_open(&t, specs, 3);
  for (unsigned i = 0; i < 21; i++) CHECK(set_choose(&t, ALGORITHM_smooth, NULL) == round[i % 7]);
  backends_set_healthy(t.view, 0, false);
  int one = set_choose(&t, ALGORITHM_smooth, NULL), two = set_choose(&t, ALGORITHM_smooth, NULL);
  CHECK(one + two == 3 && one != two);
  set_close(&t);
}

/* --- shares -------------------------------------------------------------------------------------------- */

IT("gives each its share by weight over 100,000 choices, within 2 %") {
  const enum algorithm by_weight[] = {ALGORITHM_round_robin, ALGORITHM_smooth, ALGORITHM_random,
                                      ALGORITHM_hash};
  unsigned counts[LARGE];
  make_large(true);
  for (unsigned i = 0; i < sizeof by_weight / sizeof *by_weight; i++) {
    struct set_under_test t;
    set_open(&t, large, LARGE);
    count_choices(&t, by_weight[i], counts);
    CHECK(is_by_weight(&t, counts, 0.5));
    set_close(&t);
  }
}

IT("gives each its share on the circle, as exactly as 160 points for a unit of weight allow") {
  unsigned counts[LARGE];
  struct set_under_test t;
  make_large(true);
  set_open(&t, large, LARGE);
  count_choices(&t, ALGORITHM_consistent, counts);
  CHECK(is_by_weight(&t, counts, 2));
  set_close(&t);
}

IT("gives the others the share of one that does not serve, by their weights") {
  const enum algorithm by_weight[] = {ALGORITHM_smooth, ALGORITHM_random};
  unsigned counts[LARGE];
  make_large(true);
  for (unsigned i = 0; i < 2; i++) {
    struct set_under_test t;
    set_open(&t, large, LARGE);
    backends_set_healthy(t.view, 9, false);
    count_choices(&t, by_weight[i], counts);
    CHECK(counts[9] == 0);
    for (unsigned k = 0; k < 9; k++) CHECK(fabs(counts[k] * 100.0 / MANY - (k + 1) * 100.0 / 45) < 0.6);
    set_close(&t);
  }
}

static void pick_many(void *argument, unsigned thread) {
  struct set_under_test *t = argument;
  struct backends_view *view = backends_view(t->set, SET_WEIGHTED, NULL, thread);
  unsigned picked[3] = {0};
  for (int i = 0; i < 10000; i++) {
    struct choice choice = {0};
    int index = backends_choose(view, ALGORITHM_round_robin, &choice);
    picked[index]++;
  }
  for (unsigned i = 0; i < 3; i++) atomic_fetch_add(&backends_at(view, i)->failures, picked[i]);
  backends_view_release(view);
}

IT("shares exactly by weight between threads") {
  struct set_under_test t;
  set_open(&t, SET_WEIGHTED);
  threads_run(pick_many, &t);
  CHECK(backends_at(t.view, B2)->failures == THREADS * 8000);
  CHECK(backends_at(t.view, B3)->failures == THREADS * 1000 &&
        backends_at(t.view, B1)->failures == THREADS * 1000);
  set_close(&t);
}

/* --- by key -------------------------------------------------------------------------------------------- */

static const struct backend_spec fnv_specs[] = {
    {STR_INIT("1.0.0.1:80"), 10, 0}, {STR_INIT("1.0.0.255:80"), 1, 0}, {STR_INIT("1.1.1.1:80"), 1, 0}};

IT("hashes keys as Pingora does") {
  const int wanted[] = {B2, B2, B3, B1, B2, B2, B2};
  struct set_under_test t;
  CHECK(fnv1a_64(STR("")) == 0xcbf29ce484222325u && fnv1a_64(STR("foobar")) == 0x85944171f73967e8u);
  set_open(&t, fnv_specs, 3);
  for (unsigned i = 0; i < 7; i++) {
    char key[16];
    key_of(i + 1, key);
    CHECK(set_choose(&t, ALGORITHM_hash, key) == wanted[i]);
  }
  set_close(&t);
}

/* The picks of one call, one after another: a limit of n shows the n-th where it is the first that serves. */
IT("goes on from a backend that does not serve as Pingora does") {
  const int picks[] = {B2, B2, B2, B1, B3, B2, B2, B1, B2, B3, B1};
  struct set_under_test t;
  set_open(&t, fnv_specs, 3);
  for (int wanted = 0; wanted < 3; wanted++) {
    unsigned first = 0;
    while (picks[first] != wanted) first++;
    for (unsigned limit = 1; limit <= 11; limit++) {
      struct choice choice = {.key = STR("test"), .max_picks = limit};
      set_all_healthy(&t, false);
      backends_set_healthy(t.view, (unsigned)wanted, true);
      CHECK(backends_choose(t.view, ALGORITHM_hash, &choice) == (limit > first ? wanted : BACKEND_NONE));
    }
  }
  set_close(&t);
}

IT("puts keys on the circle where nginx and Pingora put them") {
  const int all[] = {B2, B1, B1, B1, B1, B3, B1, B3, B1, B2},
            without_b3[] = {B2, B1, B1, B1, B1, B2, B1, B1, B1, B2};
  struct set_under_test t;
  set_open(&t, SET_PLAIN);
  for (unsigned i = 0; i < 20; i++) {
    char key[16];
    key_of(i % 10, key);
    if (i == 10) backends_set_healthy(t.view, B3, false);
    CHECK(set_choose(&t, ALGORITHM_consistent, key) == (i < 10 ? all : without_b3)[i % 10]);
  }
  const struct backend_spec left[] = {set_plain[B2], set_plain[B1]};
  backends_publish(t.set, left, 2); /* gone from the list, not only unhealthy: the same */
  for (unsigned i = 0; i < 10; i++) {
    char key[16];
    key_of(i, key);
    CHECK(set_choose(&t, ALGORITHM_consistent, key) == (without_b3[i] == B2 ? 0 : 1));
  }
  set_close(&t);
}

IT("moves only the keys of a backend that goes, and no more than its share") {
  static unsigned char before[MANY];
  unsigned moved = 0, strayed = 0;
  struct set_under_test t;
  make_large(false);
  set_open(&t, large, LARGE);
  for (unsigned i = 0; i < MANY; i++) {
    char key[16];
    key_of(i, key);
    before[i] = (unsigned char)set_choose(&t, ALGORITHM_consistent, key);
  }
  backends_publish(t.set, large, LARGE - 1);
  for (unsigned i = 0; i < MANY; i++) {
    char key[16];
    key_of(i, key);
    bool same = set_choose(&t, ALGORITHM_consistent, key) == before[i];
    moved += !same;
    strayed += !same && before[i] != LARGE - 1;
  }
  CHECK(strayed == 0 && moved > 0 && moved <= MANY / LARGE + MANY / 50);
  set_close(&t);
}

IT("lets no backend have more than a quarter over its share of the requests under way") {
  static struct lease leases[1000];
  struct set_under_test t;
  unsigned moved = 0;
  make_large(false);
  set_open(&t, large, LARGE);
  for (unsigned i = 0; i < 1000; i++) { /* all keys are one backend's */
    int own = set_choose(&t, ALGORITHM_consistent, "hot"), index = set_choose(&t, ALGORITHM_bounded, "hot");
    moved += index != own;
    lease_begin(&leases[i], t.view, (unsigned)index, 0);
    unsigned most = (unsigned)ceil((i + 1) * 1.25 / LARGE);
    for (unsigned k = 0; k < LARGE; k++) CHECK(backends_at(t.view, k)->in_flight <= most);
  }
  CHECK(moved == 875);
  for (unsigned i = 0; i < 1000; i++) lease_end(&leases[i], LEASE_NEUTRAL, 0);
  CHECK(set_choose(&t, ALGORITHM_bounded, "hot") == set_choose(&t, ALGORITHM_consistent, "hot"));
  set_close(&t);
}

/* --- by load ------------------------------------------------------------------------------------------- */

IT("chooses the backend with the fewest requests under way, by weight") {
  struct set_under_test t;
  struct lease leases[100] = {{0}};
  set_open(&t, SET_WEIGHTED);
  for (unsigned i = 0; i < 100; i++)
    lease_begin(&leases[i], t.view, (unsigned)set_choose(&t, ALGORITHM_least_connections, NULL), 0);
  CHECK(backends_at(t.view, B2)->in_flight == 80);
  CHECK(backends_at(t.view, B1)->in_flight == 10 && backends_at(t.view, B3)->in_flight == 10);
  for (unsigned i = 0; i < 100; i++) lease_end(&leases[i], LEASE_SERVED, 0);
  unsigned counts[LARGE];
  for (unsigned i = 0; i < 3; i++) t.view->list->entries[i].weight = 1;
  count_choices(&t, ALGORITHM_least_connections, counts); /* all idle: equals take turns */
  CHECK(is_by_weight(&t, counts, 1));
  set_close(&t);
}

static void observe(struct set_under_test *t, double slow_us) {
  for (unsigned i = 0; i < backends_count(t->view); i++)
    backend_observe(backends_at(t->view, i), i == 0 ? slow_us : 1000, t->clock.ms);
}

IT("avoids a slow backend, and tries it again when its latency has decayed") {
  unsigned counts[LARGE];
  struct set_under_test t;
  make_large(false);
  set_open(&t, large, LARGE);
  observe(&t, 2000000);
  count_choices(&t, ALGORITHM_least_latency, counts);
  CHECK(counts[0] == 0);
  t.clock.ms += 80000; /* exp(-8) of 2 s is less than 1 ms */
  observe(&t, 1);
  count_choices(&t, ALGORITHM_least_latency, counts);
  CHECK(counts[0] > 0);
  set_close(&t);
}

IT("gives equally fast backends equal shares") {
  unsigned counts[LARGE];
  struct set_under_test t;
  make_large(false);
  set_open(&t, large, LARGE);
  observe(&t, 1000);
  count_choices(&t, ALGORITHM_least_latency, counts);
  CHECK(is_by_weight(&t, counts, 0.5));
  set_close(&t);
}

/* --- who may be chosen --------------------------------------------------------------------------------- */

IT("uses a backend only when it is healthy, enabled and not excluded, whatever the algorithm") {
  const unsigned excluded[] = {2};
  struct set_under_test t;
  make_large(true);
  for (enum algorithm a = 0; a <= ALGORITHM_least_latency; a++) {
    unsigned seen = 0;
    set_open(&t, large, 4);
    backends_set_healthy(t.view, 0, false);
    backend_set_enabled(backends_at(t.view, 1), false);
    for (unsigned i = 0; i < 100; i++) {
      char key[16];
      struct choice choice = {
          .key = {key, (size_t)key_of(i, key)}, .excluded = excluded, .excluded_count = 1};
      seen |= 1u << backends_choose(t.view, a, &choice);
    }
    CHECK(seen == 1u << 3);
    struct choice choice = {.key = STR("k"), .excluded = (const unsigned[]){2, 3}, .excluded_count = 2};
    CHECK(backends_choose(t.view, a, &choice) == BACKEND_NONE && !choice.overloaded);
    set_close(&t);
  }
}

IT("uses the next tier only where nobody of the first serves") {
  const struct backend_spec specs[] = {{STR_INIT("backup:1"), 1, 2},
                                       {STR_INIT("a:1"), 1, 0},
                                       {STR_INIT("far:1"), 1, 1},
                                       {STR_INIT("b:1"), 1, 0}};
  struct set_under_test t;
  for (enum algorithm a = 0; a <= ALGORITHM_least_latency; a++) {
    set_open(&t, specs, 4);
    for (int i = 0; i < 20; i++) CHECK(set_choose(&t, a, "k") % 2 == 1);
    backends_set_healthy(t.view, 1, false);
    CHECK(set_choose(&t, a, "k") == 3);
    backends_set_healthy(t.view, 3, false);
    CHECK(set_choose(&t, a, "k") == 2);
    backends_set_healthy(t.view, 2, false);
    CHECK(set_choose(&t, a, "k") == 0);
    set_close(&t);
  }
}

IT("refuses where all that serve are at their limit, and says so") {
  struct set_under_test t;
  struct lease leases[4] = {{0}};
  for (enum algorithm a = 0; a <= ALGORITHM_least_latency; a++) {
    set_open(&t, SET_PLAIN);
    t.view->rules = (struct backend_rules){.max_in_flight = 2};
    backends_set_healthy(t.view, 0, false);
    for (unsigned i = 0; i < 4; i++) {
      int index = set_choose(&t, a, "k");
      if (CHECK(index > 0)) lease_begin(&leases[i], t.view, (unsigned)index, 0);
    }
    struct choice choice = {.key = STR("k")};
    CHECK(backends_choose(t.view, a, &choice) == BACKEND_NONE && choice.overloaded);
    for (unsigned i = 0; i < 4; i++) lease_end(&leases[i], LEASE_NEUTRAL, 0);
    set_close(&t);
  }
}

IT("limits attempts that wait for a connection") {
  struct set_under_test t;
  struct lease lease = {0};
  set_open(&t, set_plain, 1);
  t.view->rules = (struct backend_rules){.max_pending = 1};
  lease_begin(&lease, t.view, 0, 0);
  CHECK(set_choose(&t, ALGORITHM_random, NULL) == BACKEND_NONE);
  lease_connected(&lease);
  CHECK(set_choose(&t, ALGORITHM_random, NULL) == 0);
  lease_end(&lease, LEASE_NEUTRAL, 0);
  set_close(&t);
}

IT("uses all of a tier in panic, when too few of it are left and no other tier helps") {
  struct backend_spec specs[4] = {
      {STR_INIT("a:1"), 1, 0}, {STR_INIT("b:1"), 1, 0}, {STR_INIT("c:1"), 1, 0}, {STR_INIT("d:1"), 1, 1}};
  for (unsigned has_backup = 0; has_backup < 2; has_backup++) {
    struct set_under_test t;
    unsigned counts[LARGE];
    set_open(&t, specs, 3 + has_backup);
    t.view->rules = (struct backend_rules){.panic_percent = 50};
    backends_set_healthy(t.view, 0, false);
    count_choices(&t, ALGORITHM_random, counts);
    CHECK(counts[0] == 0 && counts[3] == 0);
    backends_set_healthy(t.view, 1, false);
    count_choices(&t, ALGORITHM_random, counts);
    if (has_backup)
      CHECK(counts[3] == MANY);
    else
      CHECK(counts[0] > MANY / 4 && counts[1] > MANY / 4 && counts[2] > MANY / 4);
    set_close(&t);
  }
}

IT("lets the share of a backend that came back grow slowly, and uses it at once where it is alone") {
  unsigned counts[LARGE];
  struct set_under_test t;
  set_open(&t, set_plain, 2);
  t.view->rules = (struct backend_rules){.slow_start_ms = 10000};
  backends_set_healthy(t.view, 0, false);
  backends_set_healthy(t.view, 0, true);
  t.clock.ms += 5000;
  count_choices(&t, ALGORITHM_random, counts); /* half of its draws: a third of the others' and its own */
  CHECK(counts[0] > 0.31 * MANY && counts[0] < 0.36 * MANY);
  for (enum algorithm a = 0; a <= ALGORITHM_least_latency; a++) {
    backends_set_healthy(t.view, 1, false);
    CHECK(set_choose(&t, a, "k") == 0);
  }
  t.clock.ms += 5000;
  CHECK(backend_ramp(backends_at(t.view, 0), &t.view->rules, t.clock.ms) == 1);
  set_close(&t);
}
