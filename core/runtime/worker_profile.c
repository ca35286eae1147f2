// SPDX-License-Identifier: Apache-2.0
// worker_profile: a profile of the policy that a worker has in force. The policy may be replaced and closed while it is
// profiled: what it has told stays in the worker's profile. Answers carry the number of the request: that of a worker
// that was stuck comes late, and nobody waits for it any more.
#include <stdlib.h>

#include "base/memory.h"
#include "runtime/worker.h"

struct profile_order {
  struct message message;
  unsigned number;
  enum profile_of of;
};

static void end_profile(struct worker *worker) {
  if (worker->profile && worker->profile->script) worker->profile->end(worker->profile);
}

void worker_drop_profile(struct worker *worker) {
  struct profile *profile = worker->profile;
  end_profile(worker);
  worker->profile = NULL;
  if (!profile) return;
  stacks_free(&profile->stacks);
  free(profile);
}

static const char *begin(struct worker *worker) {
  struct instance *instance = worker->instance;
  if (!instance) return "no policy is in force yet";
  const struct policy_kind *kind = instance->source->kind;
  if (!kind->profile) return "it runs without a script, so there are no hooks to be profiled";
  worker->profile->end = kind->end_profile;
  return kind->profile(instance->policy, worker->profile);
}

static void on_begin(struct message *message, void *receiver) {
  const struct profile_order *order = (struct profile_order *)message;
  struct worker *worker = receiver;
  CHECK_OBJ(worker, WORKER_MAGIC);
  worker_drop_profile(worker);
  worker->profile = memory_zalloc(sizeof *worker->profile);
  worker->profile->of = order->of;
  worker->profile->why = begin(worker);
  worker->on_profile(worker, order->number, NULL);
  free(message);
}

static void on_end(struct message *message, void *receiver) {
  const struct profile_order *order = (struct profile_order *)message;
  struct worker *worker = receiver;
  CHECK_OBJ(worker, WORKER_MAGIC);
  struct profile *profile = worker->profile;
  end_profile(worker);
  worker->profile = NULL;
  worker->on_profile(worker, order->number, profile);
  free(message);
}

static void post(struct worker *worker, struct profile_order with) {
  struct profile_order *order = memory_alloc(sizeof *order);
  *order = with;
  mailbox_tell(&worker->mailbox, &order->message);
}

void worker_begin_profile(struct worker *worker, unsigned number, enum profile_of of) {
  post(worker, (struct profile_order){{NULL, on_begin}, number, of});
}

void worker_end_profile(struct worker *worker, unsigned number) {
  post(worker, (struct profile_order){{NULL, on_end}, number, PROFILE_CPU});
}
