// SPDX-License-Identifier: Apache-2.0
// Units for shared/registry, with objects that count how many of them live.
#include "shared/registry.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "threads.h"
#include "unit.h"

static atomic_int made, freed;

static void *make(const void *config) {
  int *object = malloc(sizeof *object);
  if (!object) abort();
  *object = *(const int *)config;
  atomic_fetch_add(&made, 1);
  return object;
}

static void destroy(void *object) {
  atomic_fetch_add(&freed, 1);
  free(object);
}

static bool equals(const void *object, const void *config) {
  return *(const int *)object == *(const int *)config;
}

static const struct registry_kind number = {"number", make, destroy, equals, NULL};
static const struct registry_kind any = {"any", make, destroy, NULL, NULL};

static struct registry *new_registry(void) {
  atomic_store(&made, 0);
  atomic_store(&freed, 0);
  return registry_new();
}

/* One that is negated when it comes into force. */
static void negate(void *object) { *(int *)object = -*(int *)object; }
static const struct registry_kind told = {"told", make, destroy, equals, negate};

static int live(void) { return atomic_load(&made) - atomic_load(&freed); }
static int value(const struct registry_entry *entry) { return *(int *)registry_object(entry); }

IT("gives one object to all who ask for its name, and frees it with the last") {
  struct registry *r = new_registry();
  struct registry_entry *first = registry_get(r, &number, STR("a"), &(int){1});
  struct registry_entry *second = registry_get(r, &number, STR("a"), &(int){1});
  CHECK(registry_object(first) == registry_object(second) && value(first) == 1);
  registry_release(r, first);
  CHECK(live() == 1 && value(second) == 1);
  registry_release(r, second);
  CHECK(live() == 0);
  registry_free(r);
}

IT("can forget all names: who asks gets a new object, and the old one lives until it is released") {
  struct registry *r = new_registry();
  struct registry_entry *old = registry_get(r, &number, STR("a"), &(int){1});
  unsigned count;
  registry_forget_names(r);
  struct registry_entry *fresh = registry_get(r, &number, STR("a"), &(int){1});
  CHECK(fresh != old && live() == 2);
  CHECK_STR(registry_name(old), "a");
  registry_release(r, old);
  CHECK(live() == 1 && value(fresh) == 1);
  registry_forget_names(r);
  struct registry_entry **held = registry_hold_all(r, "number", &count);
  CHECK(count == 0);
  free(held);
  registry_release(r, fresh);
  CHECK(live() == 0);
  registry_free(r);
}

IT("tells an object once that it is in force: when its stage is merged, or when it is made afterwards") {
  struct registry *root = new_registry(), *stage = registry_stage(root), *dropped = registry_stage(root);
  struct registry_entry *staged = registry_get(stage, &told, STR("a"), &(int){1});
  struct registry_entry *lost = registry_get(dropped, &told, STR("a"), &(int){2});
  CHECK(value(staged) == 1 && value(lost) == 2);
  registry_merge(stage);
  struct registry_entry *later = registry_get(stage, &told, STR("b"), &(int){3});
  CHECK(value(staged) == -1 && value(later) == -3 && value(lost) == 2);
  registry_release(root, staged);
  registry_release(root, later);
  registry_release(dropped, lost);
  registry_free(dropped);
  registry_free(stage);
  registry_free(root);
}

IT("keeps names and kinds apart") {
  struct registry *r = new_registry();
  struct registry_entry *a = registry_get(r, &number, STR("a"), &(int){1});
  struct registry_entry *ab = registry_get(r, &number, STR("a\0b"), &(int){2});
  struct registry_entry *other = registry_get(r, &any, STR("a"), &(int){3});
  CHECK(value(a) == 1 && value(ab) == 2 && value(other) == 3);
  registry_release(r, a);
  registry_release(r, ab);
  registry_release(r, other);
  CHECK(live() == 0);
  registry_free(r);
}

IT("makes an object anew after its last holder let go") {
  struct registry *r = new_registry();
  registry_release(r, registry_get(r, &number, STR("a"), &(int){1}));
  struct registry_entry *again = registry_get(r, &number, STR("a"), &(int){1});
  CHECK(atomic_load(&made) == 2 && live() == 1);
  registry_release(r, again);
  registry_free(r);
}

IT("gives the name to a new object where the old one does not fit, and keeps the old one for its holders") {
  struct registry *r = new_registry();
  struct registry_entry *old = registry_get(r, &number, STR("a"), &(int){1});
  struct registry_entry *fresh = registry_get(r, &number, STR("a"), &(int){2});
  struct registry_entry *same = registry_get(r, &number, STR("a"), &(int){2});
  CHECK(value(old) == 1 && value(fresh) == 2 && registry_object(same) == registry_object(fresh));
  registry_release(r, old);
  CHECK(live() == 1);
  struct registry_entry *still = registry_get(r, &number, STR("a"), &(int){2});
  CHECK(registry_object(still) == registry_object(fresh));
  registry_release(r, fresh);
  registry_release(r, same);
  registry_release(r, still);
  CHECK(live() == 0);
  registry_free(r);
}

IT("lets any object serve where the kind does not ask") {
  struct registry *r = new_registry();
  struct registry_entry *first = registry_get(r, &any, STR("a"), &(int){1});
  struct registry_entry *second = registry_get(r, &any, STR("a"), &(int){2});
  CHECK(value(second) == 1);
  registry_release(r, first);
  registry_release(r, second);
  registry_free(r);
}

static void get_and_release(void *argument, unsigned index) {
  for (int i = 0; i < 5000; i++) {
    int wanted = (int)index % 2; /* two and two disagree, so names change hands all the time */
    struct registry_entry *entry = registry_get(argument, &number, STR("a"), &wanted);
    CHECK(value(entry) == wanted);
    registry_release(argument, entry);
  }
}

IT("frees each object once when threads get, replace and release it") {
  struct registry *r = new_registry();
  threads_run(get_and_release, r);
  CHECK(atomic_load(&made) > 0 && live() == 0);
  registry_free(r);
}

IT("gives references to all objects of a kind, the oldest first") {
  struct registry *r = new_registry();
  unsigned count;
  struct registry_entry *first = registry_get(r, &number, STR("first"), &(int){1}),
                        *second = registry_get(r, &number, STR("second"), &(int){2});
  struct registry_entry **all = registry_hold_all(r, number.name, &count);
  CHECK(count == 2 && all[0] == first && all[1] == second);
  CHECK_STR(registry_name(all[1]), "second");
  registry_release(r, first);
  registry_release(r, second);
  for (unsigned i = 0; i < count; i++) registry_release(r, all[i]);
  free(all);
  CHECK(registry_hold_all(r, "nothing", &count) == NULL && count == 0);
  registry_free(r);
}

IT("shows a stage what is in force, and makes in the stage alone what does not fit") {
  struct registry *root = new_registry(), *stage = registry_stage(root);
  struct registry_entry *live_one = registry_get(root, &number, STR("a"), &(int){1});
  struct registry_entry *same = registry_get(stage, &number, STR("a"), &(int){1});
  struct registry_entry *other = registry_get(stage, &number, STR("a"), &(int){2});
  struct registry_entry *again = registry_get(stage, &number, STR("a"), &(int){2});
  struct registry_entry *fresh = registry_get(stage, &number, STR("b"), &(int){3});
  CHECK(same == live_one && !registry_owns(stage, same) && registry_owns(root, same));
  CHECK(other != live_one && again == other && registry_owns(stage, other) && !registry_owns(root, other));
  unsigned count;
  struct registry_entry **all = registry_hold_all(root, number.name, &count);
  CHECK(count == 1 && all[0] == live_one);
  registry_release(root, all[0]);
  free(all);
  registry_release(stage, same);
  registry_release(stage, other);
  registry_release(stage, again);
  registry_release(stage, fresh);
  CHECK(live() == 1);
  registry_free(stage);
  registry_release(root, live_one);
  registry_free(root);
}

IT("gives the names of a stage that is merged to all, and no name to one that was merged before") {
  struct registry *root = new_registry(), *first = registry_stage(root), *second = registry_stage(root);
  struct registry_entry *one = registry_get(first, &number, STR("a"), &(int){1});
  registry_merge(first);
  struct registry_entry *two = registry_get(second, &number, STR("a"), &(int){2});
  struct registry_entry *late = registry_get(first, &number, STR("c"), &(int){5}); /* made by a hook of it */
  CHECK(registry_owns(first, one) && registry_owns(first, late) && registry_owns(root, late));
  registry_merge(second);
  struct registry_entry *now = registry_get(root, &number, STR("a"), &(int){2});
  CHECK(now == two && registry_owns(second, two) && !registry_owns(first, two));
  struct registry_entry *old = registry_get(first, &number, STR("a"), &(int){1});
  CHECK(old != one && old != two); /* its own had lost the name; a retired policy does not get it back */
  struct registry_entry *still = registry_get(root, &number, STR("a"), &(int){2});
  CHECK(still == two);
  struct registry_entry *mine[] = {one, two, late, now, old, still};
  for (int i = 0; i < 6; i++) registry_release(root, mine[i]);
  CHECK(live() == 0);
  registry_free(first);
  registry_free(registry_hold(second));
  registry_free(second);
  registry_free(root);
}

IT("has so many names of a kind and no more, and room again once one is released") {
  struct registry *root = new_registry(), *stage = registry_stage(root);
  struct registry_entry *entries[REGISTRY_NAMES];
  char name[16];
  for (int i = 0; i < REGISTRY_NAMES; i++) {
    snprintf(name, sizeof name, "%d", i);
    entries[i] = registry_get(root, &number, str_of(name), &(int){1});
  }
  CHECK(!registry_get(root, &number, STR("one more"), &(int){1}));
  struct registry_entry *again = registry_get(root, &number, STR("7"), &(int){1});
  CHECK(again == entries[7]);
  struct registry_entry *staged = registry_get(stage, &number, STR("one more"), &(int){1});
  CHECK(staged); /* a reload may replace all of them */
  registry_release(stage, staged);
  registry_release(root, again);
  registry_release(root, entries[7]);
  entries[7] = registry_get(root, &number, STR("one more"), &(int){1});
  CHECK(entries[7]);
  for (int i = 0; i < REGISTRY_NAMES; i++) registry_release(root, entries[i]);
  CHECK(live() == 0);
  registry_free(stage);
  registry_free(root);
}
