// SPDX-License-Identifier: Apache-2.0
// threads: see threads.h. A barrier holds the threads until all are there, so that they really meet.
#include "threads.h"

#include <pthread.h>
#include <stdlib.h>

struct start {
  pthread_barrier_t *barrier;
  void (*run)(void *argument, unsigned index);
  void *argument;
  unsigned index;
};

static void *enter(void *argument) {
  struct start *start = argument;
  pthread_barrier_wait(start->barrier);
  start->run(start->argument, start->index);
  return NULL;
}

void threads_run(void (*run)(void *argument, unsigned index), void *argument) {
  pthread_barrier_t barrier;
  pthread_t threads[THREADS];
  struct start starts[THREADS];
  pthread_barrier_init(&barrier, NULL, THREADS);
  for (unsigned i = 0; i < THREADS; i++) {
    starts[i] = (struct start){&barrier, run, argument, i};
    if (pthread_create(&threads[i], NULL, enter, &starts[i]) != 0) abort();
  }
  for (unsigned i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
  pthread_barrier_destroy(&barrier);
}
