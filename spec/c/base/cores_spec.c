// SPDX-License-Identifier: Apache-2.0
// Units for base/cores.
#include "base/cores.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "unit.h"

static int own_priority(void) { return getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid)); }

/* Stands for a thread of a process that has a priority of its own. */
static void *step_back(void *argument) {
  int *step = argument;
  setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), own_priority() + 2);
  int before = own_priority();
  cores_yield_to_workers();
  *step = own_priority() - before;
  return NULL;
}

IT("lets a thread step back from where its process is") {
  pthread_t thread;
  int step = 0, before = own_priority();
  CHECK(pthread_create(&thread, NULL, step_back, &step) == 0);
  pthread_join(thread, NULL);
  int room = before + 2 < 19 ? 19 - before - 2 : 0; /* the kernel knows no priority below 19 */
  CHECK(step == (room < 5 ? room : 5) && own_priority() == before);
}
