// SPDX-License-Identifier: Apache-2.0
// worker: thread, loop and the messages that steer it. The order of the end is the reverse of the beginning:
// listeners, connections with their exchanges, the policy whose hooks they used, then the loop.
#include "runtime/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "net/tls_context.h"
#include "proxy/borrow.h"
#include "proxy/downstream.h"
#include "proxy/exchange.h"
#include "shared/metrics.h"

/* --- begin ------------------------------------------------------------------------------------------------
 */

static void on_idle(struct proxy *proxy) { ev_break(proxy->loop, EVBREAK_ALL); }

static void on_grace_over(struct timer *timer) {
  log_warn("the grace period is over, closing what is still open");
  ev_break(timer->loop, EVBREAK_ALL);
}

static void on_room(struct proxy *proxy) {
  struct worker *worker = proxy->owner;
  for (unsigned i = 0; i < worker->listener_count; i++) listener_resume(&worker->listeners[i]->listener);
}

/* Once for each policy; nothing is done for one that is not in force. */
static void on_lost(const struct policy_host *host, const void *policy) {
  struct worker *worker = host->proxy ? host->proxy->owner : NULL;
  if (!worker || !worker->instance || worker->instance->policy != policy || worker->told_lost) return;
  worker->told_lost = worker->on_lost != NULL;
  if (worker->on_lost) worker->on_lost(worker);
}

void worker_init(struct worker *worker, const struct policy_host *host) {
  worker->loop = ev_loop_new(EVFLAG_AUTO);
  worker->host = *host;
  list_init(&worker->retired);
  proxy_init(&worker->proxy, worker->loop, host->worker);
  worker->proxy.owner = worker;
  if (host->metrics) worker->proxy.tally = metrics_tally(host->metrics, host->worker);
  worker->proxy.on_idle = on_idle;
  worker->proxy.room.on_room = on_room;
  timer_init(&worker->grace, worker->loop, on_grace_over);
  mailbox_init(&worker->mailbox, worker->loop, worker);
  worker->proxy.mailbox = &worker->mailbox;
  worker->host.loop = worker->loop;
  worker->host.proxy = &worker->proxy;
  worker->host.on_lost = on_lost;
}

static void *run(void *argument) {
  struct worker *worker = argument;
  char name[16];
  snprintf(name, sizeof name, "worker %u", worker->host.worker);
  log_set_thread(name);
  pthread_setname_np(pthread_self(), name);
  coalesce_thread_begin();
  ev_now_update(worker->loop);
  ev_run(worker->loop, 0);
  worker_free(worker);
  if (worker->on_ended) worker->on_ended(worker);
  memory_thread_end();
  return NULL;
}

/* A policy's recursion through C functions goes deep; what it needs is what is taken. Sanitizers make frames larger. */
#ifdef INVARIANTS
enum { STACK_BYTES = 64 << 20 };
#else
enum { STACK_BYTES = 16 << 20 };
#endif

void worker_start(struct worker *worker) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK_BYTES);
  int error = pthread_create(&worker->thread, &attributes, run, worker);
  pthread_attr_destroy(&attributes);
  if (error == 0) return;
  errno = error;
  perror("perilune: cannot create a thread");
  abort();
}

/* --- switch -----------------------------------------------------------------------------------------------
 */

struct switch_message {
  struct message message;
  struct instance *instance;
  unsigned count;
  struct worker_service services[];
};

static void on_accept(struct listener *l, int fd, const struct sockaddr *client, socklen_t length) {
  struct worker_listener *own = (struct worker_listener *)l;
  downstream_new(&own->worker->proxy, &own->service, fd, client, length);
}

static bool may_accept(struct listener *l, bool must) {
  struct worker_listener *own = (struct worker_listener *)l;
  return room_for_client(&own->worker->proxy, &own->service, must);
}

static void on_vain(struct listener *l) { room_for_nobody(&((struct worker_listener *)l)->service); }

static void free_listener(struct grave *grave) {
  struct worker_listener *own = LIST_ENTRY(grave, struct worker_listener, grave);
  if (own->service.tls) tls_context_release(own->service.tls);
  free(own);
}

static void bury_listener(struct worker_listener *own) {
  reaper_add(&own->worker->proxy.reaper, &own->grave, free_listener);
}

/* A service that is no longer listened on keeps the policy that it was made for, as if it were an exchange of
 * it. */
static void on_service_unused(struct service *service) {
  struct policy_use *use = service->use;
  bury_listener(LIST_ENTRY(service, struct worker_listener, service));
  if (--use->exchanges == 0 && use->on_unused) use->on_unused(use);
}

static struct worker_listener *new_listener(struct worker *worker, const struct worker_service *with) {
  struct worker_listener *own = memory_zalloc(sizeof *own);
  own->worker = worker;
  own->service.on_unused = on_service_unused;
  own->listener.fd = with->fd;
  own->listener.may_accept = may_accept;
  own->listener.on_vain = on_vain;
  return own;
}

static void set_service(struct service *service, struct instance *instance,
                        const struct policy_listener *said, const struct worker_service *with) {
  if (service->tls) tls_context_release(service->tls);
  service->hooks = said->hooks;
  service->settings = &said->settings;
  service->use = &instance->use;
  service->tls = with->tls;
  service->traffic = with->traffic;
  service->census = with->census;
  snprintf(service->address, sizeof service->address, "%s", with->address);
}

/* Its last queued connections are still served, by the policy that listened; then it goes with its last
 * connection. */
static void close_listener(struct worker *worker, struct worker_listener *own) {
  own->service.use->exchanges++;
  listener_drain(&own->listener);
  listener_stop(&own->listener);
  service_close(&worker->proxy, &own->service);
}

static void switch_listeners(struct worker *worker, const struct switch_message *order) {
  unsigned said_count;
  struct instance *instance = order->instance;
  const struct policy_listener *said = instance->source->kind->listeners(instance->policy, &said_count);
  struct worker_listener **listeners = memory_zalloc(order->count * sizeof *listeners);
  for (unsigned i = 0; i < order->count; i++) {
    const struct worker_service *with = &order->services[i];
    struct worker_listener *own = with->kept < 0 ? new_listener(worker, with) : worker->listeners[with->kept];
    if (with->kept >= 0) worker->listeners[with->kept] = NULL;
    set_service(&own->service, instance, &said[i], with);
    if (with->kept < 0) listener_start(&own->listener, worker->loop, with->fd, on_accept);
    listeners[i] = own;
  }
  for (unsigned i = 0; i < worker->listener_count; i++)
    if (worker->listeners[i]) close_listener(worker, worker->listeners[i]);
  free(worker->listeners);
  worker->listeners = listeners;
  worker->listener_count = order->count;
}

static void retire(struct worker *worker, struct instance *instance) {
  instance_retire(instance, &worker->retired, &worker->proxy.reaper, worker->drain_ms);
}

/* Exchanges that began on it go on. */
static void stop_canary(struct worker *worker) {
  for (unsigned i = 0; i < worker->listener_count; i++) worker->listeners[i]->service.canary_share = 0;
  if (worker->canary) retire(worker, worker->canary);
  worker->canary = NULL;
}

static void stop_shadow(struct worker *worker) {
  for (unsigned i = 0; i < worker->listener_count; i++) worker->listeners[i]->service.shadow_use = NULL;
  if (worker->shadow) retire(worker, worker->shadow);
  worker->shadow = NULL;
}

static void on_switch(struct message *message, void *receiver) {
  struct switch_message *order = (struct switch_message *)message;
  struct worker *worker = receiver;
  struct instance *old = worker->instance;
  if (worker->canary == order->instance) worker->canary = NULL;
  stop_canary(worker);
  stop_shadow(worker);
  switch_listeners(worker, order);
  instance_bind(order->instance, worker->loop, &worker->proxy);
  worker->instance = order->instance;
  worker->told_lost = false;
  if (old) retire(worker, old);
  worker->instance->source->kind->start(worker->instance->policy);
  if (worker->on_switched) worker->on_switched(worker);
  free(order);
}

void worker_switch(struct worker *worker, struct instance *instance, const struct worker_service *services,
                   unsigned count) {
  struct switch_message *order = memory_alloc(sizeof *order + count * sizeof *services);
  order->message.run = on_switch;
  order->instance = instance;
  order->count = count;
  memcpy(order->services, services, count * sizeof *services);
  mailbox_tell(&worker->mailbox, &order->message);
}

/* --- canary -----------------------------------------------------------------------------------------------
 */

struct canary_message {
  struct message message;
  struct instance *instance;
  unsigned share, count;
  unsigned order[];
};

static void on_try(struct message *message, void *receiver) {
  struct canary_message *order = (struct canary_message *)message;
  struct worker *worker = receiver;
  unsigned said_count;
  const struct policy_kind *kind = order->instance->source->kind;
  const struct policy_listener *said = kind->listeners(order->instance->policy, &said_count);
  stop_canary(worker);
  instance_bind(order->instance, worker->loop, &worker->proxy);
  worker->canary = order->instance;
  worker->instance->use.tally = (struct policy_tally){0};
  for (unsigned i = 0; i < order->count && i < worker->listener_count; i++) {
    struct service *service = &worker->listeners[i]->service;
    service->canary_hooks = said[order->order[i]].hooks;
    service->canary_settings = &said[order->order[i]].settings;
    service->canary_use = &worker->canary->use;
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
  post_order(worker, &with, order);
}

static void on_shadow(struct message *message, void *receiver) {
  struct canary_message *order = (struct canary_message *)message;
  struct worker *worker = receiver;
  unsigned said_count;
  stop_shadow(worker);
  worker->shadow = order->instance;
  if (!order->instance) {
    worker->on_report(worker, &worker->report);
    free(order);
    return;
  }
  instance_bind(order->instance, worker->loop, &worker->proxy);
  const struct policy_kind *kind = order->instance->source->kind;
  const struct policy_listener *said = kind->listeners(order->instance->policy, &said_count);
  worker->report = (struct shadow_report){0};
  for (unsigned i = 0; i < order->count && i < worker->listener_count; i++) {
    struct service *service = &worker->listeners[i]->service;
    service->shadow_hooks = said[order->order[i]].hooks;
    service->shadow_settings = &said[order->order[i]].settings;
    service->shadow_report = &worker->report;
    service->shadow_use = &worker->shadow->use;
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
  LIST_EACH(node, &worker->proxy.downstreams) {
    struct downstream *d = LIST_ENTRY(node, struct downstream, link);
    if (is_old(worker, d->exchange)) downstream_close(d);
  }
  free(message);
}

static void on_drop(struct message *message, void *receiver) {
  stop_canary(receiver);
  free(message);
}

static void on_ask_tally(struct message *message, void *receiver) {
  static const struct policy_tally none;
  struct worker *worker = receiver;
  worker->on_tally(worker, &worker->instance->use.tally, worker->canary ? &worker->canary->use.tally : &none);
  free(message);
}

static void post_plain(struct worker *worker, void (*receive)(struct message *message, void *receiver)) {
  struct message *message = memory_alloc(sizeof *message);
  message->run = receive;
  mailbox_tell(&worker->mailbox, message);
}

void worker_shadow(struct worker *worker, struct instance *instance, const unsigned *order, unsigned count) {
  struct canary_message with = {{NULL, on_shadow}, instance, 0, count};
  post_order(worker, &with, order);
}

void worker_close_old(struct worker *worker) { post_plain(worker, on_close_old); }
void worker_drop_canary(struct worker *worker) { post_plain(worker, on_drop); }
void worker_tally(struct worker *worker) { post_plain(worker, on_ask_tally); }

/* --- end --------------------------------------------------------------------------------------------------
 */

struct stop_message {
  struct message message;
  unsigned grace_ms, patience_ms;
};

static void stop_listening(struct worker *worker) {
  for (unsigned i = 0; i < worker->listener_count; i++) listener_stop(&worker->listeners[i]->listener);
}

static void on_stop(struct message *message, void *receiver) {
  struct stop_message *order = (struct stop_message *)message;
  struct worker *worker = receiver;
  if (order->grace_ms) {
    for (unsigned i = 0; i < worker->listener_count; i++) listener_drain(&worker->listeners[i]->listener);
    stop_listening(worker);
    timer_set(&worker->grace, order->grace_ms);
    proxy_stop(&worker->proxy, order->patience_ms);
  } else {
    ev_break(worker->loop, EVBREAK_ALL);
  }
  free(order);
}

/* Also after an upgrade what is queued is served: a successor with fewer workers has closed some of the sockets. */
void worker_stop(struct worker *worker, unsigned grace_ms, unsigned patience_ms) {
  struct stop_message *order = memory_alloc(sizeof *order);
  order->message.run = on_stop;
  order->grace_ms = grace_ms;
  order->patience_ms = patience_ms;
  mailbox_tell(&worker->mailbox, &order->message);
}

void worker_join(struct worker *worker) { pthread_join(worker->thread, NULL); }

void worker_free(struct worker *worker) {
  circle_leave(&worker->proxy);
  mailbox_stop(&worker->mailbox);
  stop_listening(worker);
  timer_stop(&worker->grace);
  proxy_close(&worker->proxy);
  instance_free(worker->canary);
  instance_free(worker->shadow);
  instance_free(worker->instance);
  for (unsigned i = 0; i < worker->listener_count; i++) bury_listener(worker->listeners[i]);
  free(worker->listeners);
  proxy_free(&worker->proxy);
  ev_loop_destroy(worker->loop);
}
