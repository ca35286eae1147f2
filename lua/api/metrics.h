// SPDX-License-Identifier: Apache-2.0
// metrics: counting in metrics of Lua modules from C.
#ifndef PERILUNE_LUA_METRICS_H
#define PERILUNE_LUA_METRICS_H

#include <lua.h>

#include "shared/family.h"

/* One worker's numbers of a metric for one combination of label values. */
struct metric_numbers {
  struct family *family; /* borrowed: lives as long as the VM */
  struct series *series; /* borrowed; NULL: there are too many, it is not counted */
};

/* Those of the metric at `index`, which must have as many labels as there are values. -0 +0 */
struct metric_numbers metric_numbers(lua_State *L, int index, const struct str *values);
static inline void metric_add(struct metric_numbers numbers, double n) {
  if (numbers.series) family_add(numbers.family, numbers.series, n);
}
static inline void metric_observe(struct metric_numbers numbers, double value) {
  if (numbers.series) family_observe(numbers.family, numbers.series, value);
}

#endif
