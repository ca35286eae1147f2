// SPDX-License-Identifier: Apache-2.0
// worker_trial: a second policy in a worker, in addition to the one in force: a canary, which gets a share of the
// exchanges, or a shadow, which gets copies of them. Messages of a trial carry its number, so that a late answer of a
// worker that was stuck is not taken for one of the next trial.
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "exchange/exchange.h"
#include "exchange/stream.h"
#include "runtime/worker.h"

/* Exchanges that began on it go on. */
static void stop_canary(struct worker *worker) {
  for (unsigned i = 0; i < worker->listener_count; i++) {
    struct service *service = &worker->listeners[i]->service;
    service->canary_share = 0;
    service->canary.hooks = NULL; /* all three are the policy's, which may go now */
    service->canary.settings = NULL;
    service->canary.use = NULL;
  }
  if (worker->canary) worker_retire(worker, worker->canary);
  worker->canary = NULL;
}

static void stop_shadow(struct worker *worker) {
  for (unsigned i = 0; i < worker->listener_count; i++) {
    struct service *service = &worker->listeners[i]->service;
    service->shadow.use = NULL;
    service->shadow.hooks = NULL;
    service->shadow.settings = NULL;
    service->shadow_report = NULL;
  }
  if (worker->shadow) worker_retire(worker, worker->shadow);
  worker->shadow = NULL;
}

void worker_end_trials(struct worker *worker, const struct instance *in_force) {
  if (worker->canary == in_force) worker->canary = NULL;
  stop_canary(worker);
  stop_shadow(worker);
}

/* --- canary --------------------------------------------------------------------------------------------- */

struct canary_message {
  struct message message;
  struct instance *instance;
  unsigned share, count;
  unsigned order[];
};

static void on_try(struct message *message, void *receiver) {
  struct canary_message *order = (struct canary_message *)message;
  struct worker *worker = receiver;
  CHECK_OBJ(worker, WORKER_MAGIC);
  unsigned said_count;
  const struct policy_kind *kind = order->instance->source->kind;
  const struct policy_listener *said = kind->listeners(order->instance->policy, &said_count);
  stop_canary(worker);
  instance_bind(order->instance, worker->loop, &worker->proxy);
  worker->canary = order->instance;
  worker->instance->use.tally = (struct policy_tally){0};
  for (unsigned i = 0; i < order->count && i < worker->listener_count; i++) {
    struct service *service = &worker->listeners[i]->service;
    service->canary.hooks = said[order->order[i]].hooks;
    service->canary.settings = &said[order->order[i]].settings;
    service->canary.use = &worker->canary->use;
    service->canary_share = order->share;
  }
  free(order);
}

static void post_order(struct worker *worker, const struct canary_message *with, const unsigned *order) {
  struct canary_message *message = memory_alloc(sizeof *message + with->count * sizeof *order);
  *message = *with;
  if (with->count) memcpy(message->order, order, with->count * sizeof *order);
  mailbox_tell(&worker->mailbox, &message->message);
}

void worker_try(struct worker *worker, struct instance *instance, const unsigned *order, unsigned count,
                unsigned share) {
  struct canary_message with = {{NULL, on_try}, instance, share, count};
  worker->tried = instance;
  post_order(worker, &with, order);
}

static void on_shadow(struct message *message, void *receiver) {
  struct canary_message *order = (struct canary_message *)message;
  struct worker *worker = receiver;
  CHECK_OBJ(worker, WORKER_MAGIC);
  unsigned said_count;
  stop_shadow(worker);
  worker->shadow = order->instance;
  instance_bind(order->instance, worker->loop, &worker->proxy);
  const struct policy_kind *kind = order->instance->source->kind;
  const struct policy_listener *said = kind->listeners(order->instance->policy, &said_count);
  worker->report = (struct shadow_report){0};
  for (unsigned i = 0; i < order->count && i < worker->listener_count; i++) {
    struct service *service = &worker->listeners[i]->service;
    service->shadow.hooks = said[order->order[i]].hooks;
    service->shadow.settings = &said[order->order[i]].settings;
    service->shadow_report = &worker->report;
    service->shadow.use = &worker->shadow->use;
  }
  free(order);
}

/* Idle connections belong to no generation; one that is tried is no old one. */
static bool is_old(const struct worker *worker, const struct exchange *x) {
  if (!x || x->use == &worker->instance->use) return false;
  return !(worker->canary && x->use == &worker->canary->use);
}

static void on_close_old(struct message *message, void *receiver) {
  struct worker *worker = receiver;
  CHECK_OBJ(worker, WORKER_MAGIC);
  LIST_EACH(node, &worker->proxy.exchanges) {
    struct exchange *x = LIST_ENTRY(node, struct exchange, link);
    if (x->stream && !x->is_shadow && is_old(worker, x)) stream_reset(x->stream, ERROR_CLIENT_GONE);
  }
  free(message);
}

static void on_drop(struct message *message, void *receiver) {
  stop_canary(receiver);
  free(message);
}

struct question {
  struct message message;
  unsigned trial;
};

static void on_ask_tally(struct message *message, void *receiver) {
  static const struct policy_tally none;
  const struct question *question = (struct question *)message;
  struct worker *worker = receiver;
  CHECK_OBJ(worker, WORKER_MAGIC);
  worker->on_tally(worker, question->trial, &worker->instance->use.tally,
                   worker->canary ? &worker->canary->use.tally : &none);
  free(message);
}

void worker_shadow(struct worker *worker, struct instance *instance, const unsigned *order, unsigned count) {
  struct canary_message with = {{NULL, on_shadow}, instance, 0, count};
  post_order(worker, &with, order);
}

static void on_end_shadow(struct message *message, void *receiver) {
  const struct question *question = (struct question *)message;
  struct worker *worker = receiver;
  CHECK_OBJ(worker, WORKER_MAGIC);
  stop_shadow(worker);
  worker->on_report(worker, question->trial, &worker->report);
  free(message);
}

static void ask(struct worker *worker, unsigned trial,
                void (*receive)(struct message *message, void *receiver)) {
  struct question *question = memory_alloc(sizeof *question);
  *question = (struct question){{NULL, receive}, trial};
  mailbox_tell(&worker->mailbox, &question->message);
}

void worker_end_shadow(struct worker *worker, unsigned trial) { ask(worker, trial, on_end_shadow); }
void worker_tally(struct worker *worker, unsigned trial) { ask(worker, trial, on_ask_tally); }
void worker_close_old(struct worker *worker) { worker_post(worker, on_close_old); }

void worker_drop_canary(struct worker *worker) {
  worker->tried = NULL;
  worker_post(worker, on_drop);
}
