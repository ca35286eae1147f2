// SPDX-License-Identifier: Apache-2.0
// histogram: the functions for reading.
#include "shared/histogram.h"

uint64_t histogram_floor(unsigned bucket) {
  if (bucket < HISTOGRAM_STEPS) return bucket;
  unsigned power = bucket / HISTOGRAM_STEPS - 1;
  return (uint64_t)(HISTOGRAM_STEPS + bucket % HISTOGRAM_STEPS) << power;
}

uint64_t histogram_count(const struct histogram *h) {
  uint64_t count = 0;
  for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) count += cell_get(&h->buckets[i]);
  return count;
}

void histogram_difference(struct histogram *to, const struct histogram *now, const struct histogram *before) {
  for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
    cell_set(&to->buckets[i], cell_get(&now->buckets[i]) - cell_get(&before->buckets[i]));
  cell_set(&to->sum, cell_get(&now->sum) - cell_get(&before->sum));
}

uint64_t histogram_quantile(const struct histogram *h, double q) {
  uint64_t count = histogram_count(h), seen = 0;
  double wanted = q * (double)count;
  if (count == 0) return 0;
  for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
    seen += cell_get(&h->buckets[i]);
    if (seen > 0 && (double)seen >= wanted) return (histogram_floor(i) + histogram_floor(i + 1)) / 2;
  }
  return histogram_floor(HISTOGRAM_BUCKETS);
}
