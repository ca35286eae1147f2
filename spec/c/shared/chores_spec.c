// SPDX-License-Identifier: Apache-2.0
// Units for shared/chores: each is done once, in its order; what has failed is not tried again; the end waits for none.
#include "shared/chores.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/memory.h"
#include "unit.h"

struct counting {
  struct chore chore; /* first */
  bool fails;
  atomic_bool *gate; /* waited for; NULL: none */
};

static atomic_uint done, ended;

static bool run(struct chore *chore, const atomic_bool *stops) {
  struct counting *c = (struct counting *)chore;
  while (c->gate && !atomic_load(c->gate) && !atomic_load(stops)) usleep(100);
  atomic_fetch_add(&done, 1);
  return !c->fails;
}

static void end(struct chore *chore) {
  free(chore);
  atomic_fetch_add(&ended, 1);
}

static bool add(struct chores *c, uint64_t id, bool fails, atomic_bool *gate) {
  struct counting *chore = memory_alloc(sizeof *chore);
  *chore = (struct counting){.chore = {.id = id, .run = run, .end = end}, .fails = fails, .gate = gate};
  return chores_add(c, &chore->chore);
}

static void wait_for(unsigned count) {
  while (atomic_load(&ended) < count) usleep(100);
}

static void begin(void) {
  atomic_store(&done, 0);
  atomic_store(&ended, 0);
}

IT("does each of them once, and what is done again when it is asked for again") {
  struct chores *c = chores_new("spec");
  atomic_bool gate = false;
  begin();
  CHECK(add(c, 1, false, &gate) && add(c, 2, false, NULL));
  CHECK(!chores_may_add(c, 2) && !add(c, 2, false, NULL));
  atomic_store(&gate, true);
  wait_for(3); /* with the one that was refused */
  CHECK(atomic_load(&done) == 2);
  while (!chores_may_add(c, 2)) usleep(100);
  CHECK(add(c, 2, false, NULL));
  wait_for(4);
  CHECK(atomic_load(&done) == 3);
  chores_free(c);
}

IT("does not try again what has failed") {
  struct chores *c = chores_new("spec");
  begin();
  CHECK(add(c, 7, true, NULL));
  wait_for(1);
  CHECK(add(c, 8, false, NULL)); /* behind it: so it is known by then */
  wait_for(2);
  CHECK(!chores_may_add(c, 7) && !add(c, 7, false, NULL));
  chores_free(c);
}

IT("takes no more than so many, and drops at its end what was not begun") {
  struct chores *c = chores_new("spec");
  atomic_bool gate = false;
  unsigned taken = 0;
  begin();
  for (unsigned i = 1; i <= 2 * CHORES_WAITING; i++) taken += add(c, i, false, &gate);
  CHECK(taken >= CHORES_WAITING && taken <= CHORES_WAITING + 1);
  chores_free(c); /* the one under way sees that it has to stop */
  CHECK(atomic_load(&ended) == 2 * CHORES_WAITING && atomic_load(&done) <= 1);
  chores_free(NULL);
}
