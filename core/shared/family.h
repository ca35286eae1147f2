// SPDX-License-Identifier: Apache-2.0
// family: a metric that a policy defines: a counter, a gauge or a histogram, with labels. Each worker counts in
// its own series, so counting takes no lock. A gauge is one number for all workers, and has a lock.
//
// Words. family: the metric, under its name. series: its numbers for one combination of label values.
#ifndef PERILUNE_SHARED_FAMILY_H
#define PERILUNE_SHARED_FAMILY_H

#include <stdbool.h>

#include "base/str.h"

enum family_kind { FAMILY_COUNTER, FAMILY_GAUGE, FAMILY_HISTOGRAM };
enum { FAMILY_LABELS = 8, FAMILY_BOUNDS = 32, FAMILY_SERIES = 1000, FAMILY_VALUE_BYTES = 200 };

/* All text is copied. */
struct family_config {
  enum family_kind kind;
  struct str help;
  struct str labels[FAMILY_LABELS]; /* names */
  unsigned label_count;
  double bounds[FAMILY_BOUNDS]; /* of a histogram: upper ends, ascending, without infinity */
  unsigned bound_count;
  unsigned workers; /* that serve; the control worker is one more */
};

struct family;
struct series;

struct family *family_new(const struct family_config *config);
void family_free(struct family *family);
/* Kind, labels and bounds are the same. */
bool family_fits(const struct family *family, const struct family_config *config);
const struct family_config *family_config(const struct family *family);

/* The worker's own series for these values of its labels, which are cut at FAMILY_VALUE_BYTES; found or made.
 * NULL: there are FAMILY_SERIES already, and this one is not counted. Lives as long as the family. */
struct series *family_series(struct family *family, unsigned worker, const struct str *values);
/* By the worker that the series is of; of a gauge by any. */
void family_add(struct family *family, struct series *series, double n);
void family_set(struct family *family, struct series *series, double value);
void family_observe(struct family *family, struct series *series, double value);

/* --- reading, in one thread at a time --- */

struct family_sum {
  struct str values[FAMILY_LABELS];             /* borrowed from the family */
  double value;                                 /* of a histogram: the sum of what was observed */
  unsigned long long counts[FAMILY_BOUNDS + 1]; /* by bucket, the last one without an end */
};
/* Calls `each` for every combination of label values, summed over the workers. */
void family_read(const struct family *family, void (*each)(const struct family_sum *sum, void *context),
                 void *context);
/* How often there was no room for a series. */
unsigned long long family_overflowed(const struct family *family);

#endif
