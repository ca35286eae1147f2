// SPDX-License-Identifier: Apache-2.0
// cores: reads the number each time, since a cpuset may change.
#include "base/cores.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Steps of the scheduler, each about a quarter more or less. */
enum { STEPS = 5 };

unsigned cores_available(void) {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

/* On Linux the priority is a thread's. The process may have one of its own, so this is no fixed one: that would starve
 * the thread. */
void cores_yield_to_workers(void) {
  id_t thread = (id_t)syscall(SYS_gettid);
  setpriority(PRIO_PROCESS, thread, getpriority(PRIO_PROCESS, thread) + STEPS);
}
