// SPDX-License-Identifier: Apache-2.0
// testing: makes and ends the environment of a policy's tests.
#include "runtime/testing.h"

#include "base/memory.h"
#include "net/loop.h"
#include "net/virtual_time.h"
#include "runtime/worker.h"
#include "shared/registry.h"

bool testing_run(const struct policy_source *source, char **why) {
  struct worker worker = {.loop = loop_open(why)};
  if (!worker.loop) return false;
  struct registry *registry = registry_new();
  struct policy_host host = {
      .registry = registry, .workers = 1, .is_control = true, .is_check = true, .clock = &clock_virtual};
  virtual_time_begin(1000000);
  worker_init(&worker, &host);
  void *policy = source->kind->load(source->source, &worker.host, why);
  if (policy) source->kind->close(policy);
  worker_free(&worker);
  registry_free(registry);
  memory_thread_end();
  return policy != NULL;
}
