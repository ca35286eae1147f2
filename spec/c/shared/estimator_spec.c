// SPDX-License-Identifier: Apache-2.0
// Units for shared/estimator.
#include "shared/estimator.h"

#include <stdio.h>

#include "threads.h"
#include "unit.h"

IT("adds and takes away by key") {
  struct estimator *e = estimator_new(8, 8);
  CHECK(estimator_add(e, STR("a"), 1) == 1);
  CHECK(estimator_add(e, STR("b"), 1) == 1);
  CHECK(estimator_add(e, STR("a"), 2) == 3);
  CHECK(estimator_add(e, STR("b"), 2) == 3);
  CHECK(estimator_add(e, STR("a"), -1) == 2);
  CHECK(estimator_add(e, STR("b"), -1) == 2);
  CHECK(estimator_get(e, STR("a")) == 2 && estimator_get(e, STR("b")) == 2);
  estimator_reset(e);
  CHECK(estimator_get(e, STR("a")) == 0 && estimator_get(e, STR("b")) == 0);
  estimator_free(e);
}

IT("takes any bytes as a key, also none") {
  struct estimator *e = estimator_new(4, 1024);
  CHECK(estimator_add(e, (struct str){NULL, 0}, 5) == 5);
  CHECK(estimator_get(e, STR("")) == 5);
  CHECK(estimator_add(e, STR("a\0b"), 1) == 1);
  CHECK(estimator_add(e, STR("a\0c"), 1) == 1);
  estimator_free(e);
}

static struct str key_of(unsigned i, char text[16]) {
  return (struct str){text, (size_t)snprintf(text, 16, "key %u", i)};
}

IT("never counts a key too low, and few too high") {
  enum { KEYS = 500 };
  struct estimator *e = estimator_new(4, 1024);
  char text[16];
  unsigned low = 0, high = 0;
  for (unsigned i = 0; i < KEYS; i++) estimator_add(e, key_of(i, text), i);
  for (unsigned i = 0; i < KEYS; i++) {
    int64_t count = estimator_get(e, key_of(i, text));
    if (count < (int64_t)i) low++;
    if (count > (int64_t)i) high++;
  }
  CHECK(low == 0);
  CHECK(high < KEYS / 10); /* expected 2.3 %: (1 - e^(-500/1024))^4 */
  estimator_free(e);
}

IT("counts with a single cell, where all keys share it") {
  struct estimator *e = estimator_new(1, 1);
  estimator_add(e, STR("a"), 1);
  CHECK(estimator_add(e, STR("b"), 1) == 2);
  estimator_free(e);
}

IT("hashes with another seed each time") {
  unsigned differing = 0;
  for (int i = 0; i < 20; i++) {
    struct estimator *e = estimator_new(1, 2);
    estimator_add(e, STR("a"), 1);
    differing += estimator_get(e, STR("b")) == 0; /* the same cell or not is the seed's choice */
    estimator_free(e);
  }
  CHECK(differing > 0 && differing < 20);
}

IT("wraps where a count is too large") {
  struct estimator *e = estimator_new(2, 16);
  estimator_add(e, STR("a"), INT64_MAX);
  CHECK(estimator_add(e, STR("a"), 1) == INT64_MIN);
  estimator_free(e);
}

static void add_many(void *argument, unsigned index) {
  struct estimator *e = argument;
  for (int i = 0; i < 20000; i++) estimator_add(e, index % 2 ? STR("odd") : STR("even"), 1);
}

IT("loses no count between threads") {
  struct estimator *e = estimator_new(4, 1024);
  threads_run(add_many, e);
  CHECK(estimator_get(e, STR("odd")) == 40000 && estimator_get(e, STR("even")) == 40000);
  estimator_free(e);
}
