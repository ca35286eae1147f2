// SPDX-License-Identifier: Apache-2.0
#include "shared/histogram.h"

#include "unit.h"

IT("puts each value into a bucket that begins at or below it, and ends above") {
  static const uint64_t values[] = {0, 1, 7, 8, 9, 15, 16, 17, 255, 256, 1000, 123456789, 1ull << 33};
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
    unsigned bucket = histogram_bucket(values[i]);
    CHECK(histogram_floor(bucket) <= values[i]);
    CHECK(histogram_floor(bucket + 1) > values[i]);
  }
}

IT("has buckets one behind the other, each at most an eighth as wide as it is far") {
  for (unsigned i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
    uint64_t from = histogram_floor(i), to = histogram_floor(i + 1);
    CHECK(to > from);
    CHECK(histogram_bucket(from) == i && histogram_bucket(to - 1) == i);
    CHECK(to - from == 1 || (to - from) * 8 <= from);
  }
}

IT("counts what is out of range in the last bucket") {
  CHECK(histogram_bucket(UINT64_MAX) == HISTOGRAM_BUCKETS - 1);
  CHECK(histogram_bucket(1ull << 40) == HISTOGRAM_BUCKETS - 1);
}

static bool is_near(uint64_t got, uint64_t wanted) { return got * 8 >= wanted * 7 && got * 8 <= wanted * 9; }

IT("tells quantiles to the width of a bucket") {
  struct histogram h = {0};
  CHECK(histogram_quantile(&h, 0.5) == 0);
  for (unsigned i = 1; i <= 1000; i++) histogram_add(&h, i * 10);
  CHECK(histogram_count(&h) == 1000 && cell_get(&h.sum) == 5005000);
  CHECK(is_near(histogram_quantile(&h, 0.5), 5000));
  CHECK(is_near(histogram_quantile(&h, 0.99), 9900));
  CHECK(is_near(histogram_quantile(&h, 1), 10000));
}

IT("tells what was counted since an earlier state") {
  struct histogram a = {0}, b = {0}, c = {0};
  histogram_add(&b, 5);
  histogram_add(&b, 100);
  histogram_add(&a, 5);
  histogram_add(&a, 5);
  histogram_add(&a, 100);
  histogram_difference(&c, &a, &b);
  CHECK(histogram_count(&c) == 1 && cell_get(&c.buckets[histogram_bucket(5)]) == 1 && cell_get(&c.sum) == 5);
}
