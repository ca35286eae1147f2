// SPDX-License-Identifier: Apache-2.0
// cores: reads the number each time, since a cpuset may change.
#include "base/cores.h"

#include <sched.h>

unsigned cores_available(void) {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}
