// SPDX-License-Identifier: Apache-2.0
// Units for shared/counts, on a clock that stands still.
#include "shared/counts.h"

#include <stdatomic.h>

#include "threads.h"
#include "unit.h"

enum { MILLION = 1000000 };

static struct clock_fake now;

static struct counts *new_counts(unsigned keys) {
  clock_fake_init(&now, 5000);
  return counts_new(1000, keys, &now.clock);
}

static uint64_t add(struct counts *c, char kind, unsigned number) {
  char key[1 + sizeof number] = {kind};
  memcpy(key + 1, &number, sizeof number);
  return counts_add(c, (struct str){key, sizeof key}, 1);
}

IT("counts keys apart, in windows that begin with the first event after the last one's end") {
  struct counts *c = new_counts(100);
  CHECK(counts_add(c, STR("a"), 1) == 1 && counts_add(c, STR("a"), 2) == 3 &&
        counts_add(c, STR("b"), 1) == 1);
  CHECK(counts_get(c, STR("a")) == 3 && counts_get(c, STR("never")) == 0);
  now.ms += 999;
  CHECK(counts_add(c, STR("a"), 1) == 4);
  now.ms += 1;
  CHECK(counts_get(c, STR("a")) == 0 && counts_add(c, STR("b"), 1) == 1);
  now.ms += 999;
  CHECK(counts_add(c, STR("b"), 1) == 2);
  now.ms += 5001;
  CHECK(counts_add(c, STR("a"), 1) == 1 && counts_get(c, STR("b")) == 0);
  now.ms += 999;
  CHECK(counts_add(c, STR("a"), 1) == 2);
  counts_free(c);
}

IT("counts a million keys of one event each as one each, whatever the room") {
  for (unsigned keys = 256; keys <= 65536; keys *= 256) {
    struct counts *c = new_counts(keys);
    unsigned wrong = 0;
    for (unsigned i = 0; i < MILLION; i++) wrong += add(c, 'c', i) != 1;
    CHECK(wrong == 0);
    counts_free(c);
  }
}

IT("loses next to none of as many keys as there is room for") {
  enum { KEYS = 65536 };
  struct counts *c = new_counts(KEYS);
  unsigned right = 0;
  for (unsigned i = 0; i < KEYS; i++) add(c, 'c', i);
  for (unsigned i = 0; i < KEYS; i++) right += add(c, 'c', i) == 2;
  CHECK(right > KEYS / 100 * 98 && counts_forgotten(c) < KEYS / 100);
  CHECK(counts_bytes(c) >= KEYS * COUNTS_KEY_BYTES && counts_bytes(c) < KEYS * COUNTS_KEY_BYTES * 11 / 10);
  counts_free(c);
}

IT("keeps the counts of those who come often, whatever a million random keys do, and refuses none of the "
   "others") {
  enum { GOOD = 500, LIMIT = 10 };
  struct counts *c = new_counts(65536);
  unsigned wrong = 0, forgotten = 0;
  for (unsigned round = 0; round < LIMIT; round++) {
    for (unsigned i = 0; i < MILLION / LIMIT; i++) add(c, 'r', round * MILLION + i);
    for (unsigned i = 0; i < GOOD; i++) wrong += add(c, 'g', i) > round + 1;
  }
  CHECK(wrong == 0); /* nobody has more than it has brought */
  struct counts *quiet = new_counts(65536);
  for (unsigned round = 0; round < LIMIT; round++)
    for (unsigned i = 0; i < GOOD; i++) add(quiet, 'y', i);
  for (unsigned i = 0; i < MILLION; i++) add(quiet, 'r', i);
  for (unsigned i = 0; i < GOOD; i++) forgotten += add(quiet, 'y', i) != LIMIT + 1;
  CHECK(forgotten == 0);
  CHECK(counts_forgotten(quiet) > 0);
  counts_free(quiet);
  counts_free(c);
}

IT("stays at the largest number that it can tell") {
  struct counts *c = new_counts(1);
  CHECK(counts_add(c, STR("a"), UINT32_MAX - 1) == UINT32_MAX - 1);
  CHECK(counts_add(c, STR("a"), 5) == UINT32_MAX && counts_add(c, STR("a"), 1) == UINT32_MAX);
  counts_free(c);
}

enum { ROUNDS = 20000, PASS = 100 };
struct contest {
  struct counts *counts;
  _Atomic unsigned passed, tick;
};

static void compete(void *argument, unsigned index) {
  struct contest *c = argument;
  (void)index;
  for (int i = 0; i < ROUNDS; i++) {
    if (counts_add(c->counts, STR("key"), 1) <= PASS) atomic_fetch_add(&c->passed, 1);
    add(c->counts, 'o', (unsigned)i % 64);
  }
}

IT("lets exactly as many pass as it may, whatever the number of threads") {
  struct contest c = {.counts = new_counts(1024)};
  threads_run(compete, &c);
  CHECK(c.passed == PASS && counts_get(c.counts, STR("key")) == ROUNDS * THREADS);
  counts_free(c.counts);
}

static void turn_and_compete(void *argument, unsigned index) {
  struct contest *c = argument;
  for (int i = 0; i < ROUNDS; i++) add(c->counts, 'k', (unsigned)i % 3 + index);
}

IT("stays sound while windows turn all the time") {
  struct contest c = {.counts = counts_new(1, 64, &clock_system)};
  threads_run(turn_and_compete, &c);
  CHECK(counts_get(c.counts, STR("key")) == 0);
  counts_free(c.counts);
}
