// SPDX-License-Identifier: Apache-2.0
#include "shared/family.h"

#include <stdio.h>

#include "threads.h"
#include "unit.h"

static const struct family_config counter = {.kind = FAMILY_COUNTER,
                                             .help = STR_INIT("help"),
                                             .labels = {STR_INIT("zone")},
                                             .label_count = 1,
                                             .workers = THREADS};
static const struct family_config histogram = {
    .kind = FAMILY_HISTOGRAM, .bounds = {1, 2.5}, .bound_count = 2, .workers = 1};

static void add(struct family *f, unsigned worker, struct str zone, double n) {
  struct series *s = family_series(f, worker, &zone);
  if (s) family_add(f, s, n);
}

struct found {
  unsigned count;
  double eu, us;
};

static void note(const struct family_sum *sum, void *context) {
  struct found *found = context;
  found->count++;
  if (str_equal(sum->values[0], STR("eu"))) found->eu = sum->value;
  if (str_equal(sum->values[0], STR("us"))) found->us = sum->value;
}

IT("sums a counter's series over the workers, by the values of its labels") {
  struct family *f = family_new(&counter);
  struct found found = {0};
  add(f, 0, STR("eu"), 1);
  add(f, 1, STR("eu"), 2.5);
  add(f, 1, STR("us"), 4);
  add(f, THREADS, STR("us"), 1); /* the control worker */
  family_read(f, note, &found);
  CHECK(found.count == 2 && found.eu == 3.5 && found.us == 5);
  family_free(f);
}

static void count_many(void *family, unsigned self) {
  char zone[8];
  for (unsigned i = 0; i < 2000; i++) {
    sprintf(zone, "%u", i % 50);
    add(family, self, str_of(i % 2 ? zone : "eu"), 1);
  }
}

static void sum_all(const struct family_sum *sum, void *context) { *(double *)context += sum->value; }

static void count_or_read(void *family, unsigned self) {
  double sum = 0;
  if (self) count_many(family, self);
  for (int i = 0; i < 20 && !self; i++) family_read(family, sum_all, &sum);
}

IT("can be read while workers make new series") {
  struct family *f = family_new(&counter);
  double sum = 0;
  threads_run(count_or_read, f);
  family_read(f, sum_all, &sum);
  CHECK(sum == (THREADS - 1) * 2000);
  family_free(f);
}

IT("has one number of a gauge for all workers") {
  struct family_config gauge = counter;
  struct str zone = STR("eu");
  gauge.kind = FAMILY_GAUGE;
  struct family *f = family_new(&gauge);
  struct found found = {0};
  family_set(f, family_series(f, 0, &zone), 7);
  family_set(f, family_series(f, 1, &zone), 5);
  add(f, 2, zone, -2);
  family_read(f, note, &found);
  CHECK(found.count == 1 && found.eu == 3);
  family_free(f);
}

static void keep(const struct family_sum *sum, void *context) { *(struct family_sum *)context = *sum; }

IT("counts in buckets that include their upper end") {
  struct family *f = family_new(&histogram);
  struct family_sum sum = {0};
  static const double values[] = {0.5, 1, 1.1, 2.5, 3};
  for (size_t i = 0; i < 5; i++) family_observe(f, family_series(f, 0, NULL), values[i]);
  family_read(f, keep, &sum);
  CHECK(sum.counts[0] == 2 && sum.counts[1] == 2 && sum.counts[2] == 1);
  CHECK(sum.value > 8.09 && sum.value < 8.11);
  family_free(f);
}

IT("does not grow without end when label values do") {
  struct family *f = family_new(&counter);
  struct found found = {0};
  char zone[16];
  for (unsigned i = 0; i < FAMILY_SERIES + 50; i++) {
    sprintf(zone, "zone %u", i);
    add(f, 0, str_of(zone), 1);
  }
  family_read(f, note, &found);
  CHECK(found.count == FAMILY_SERIES && family_overflowed(f) == 50);
  family_free(f);
}

IT("cuts long values, and takes those for one that are then equal") {
  struct family *f = family_new(&counter);
  static char text[2 * FAMILY_VALUE_BYTES];
  struct found found = {0};
  memset(text, 'x', sizeof text);
  add(f, 0, (struct str){text, FAMILY_VALUE_BYTES + 1}, 1);
  add(f, 0, (struct str){text, FAMILY_VALUE_BYTES + 1}, 1);
  family_read(f, note, &found);
  CHECK(found.count == 1);
  family_free(f);
}

IT("fits what has the same kind, labels and bounds") {
  struct family *f = family_new(&counter), *h = family_new(&histogram);
  struct family_config other = counter, moved = histogram;
  CHECK(family_fits(f, &counter) && family_fits(h, &histogram) && !family_fits(h, &counter));
  other.labels[0] = STR("area");
  moved.bounds[1] = 3;
  CHECK(!family_fits(f, &other) && !family_fits(h, &moved));
  family_free(f);
  family_free(h);
}
