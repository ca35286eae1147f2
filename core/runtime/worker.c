// SPDX-License-Identifier: Apache-2.0
// worker: thread, loop and the messages that control it. The order of the end is the reverse of the beginning:
// listeners, connections with their exchanges, the policy whose hooks they used, then the loop.
#include "runtime/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/container.h"
#include "base/log.h"
#include "base/memory.h"
#include "downstream/downstream.h"
#include "exchange/exchange.h"
#include "net/loop.h"
#include "net/offload.h"
#include "net/tls_context.h"
#include "shared/metrics.h"
#include "upstream/borrow.h"

/* --- begin ---------------------------------------------------------------------------------------------- */

static void on_idle(struct proxy *proxy) { ev_break(proxy->loop, EVBREAK_ALL); }

static void on_grace_over(struct timer *timer) {
  log_warn("the grace period is over, closing what is still open");
  ev_break(timer->loop, EVBREAK_ALL);
}

static void on_room(struct proxy *proxy) {
  struct worker *worker = proxy->owner;
  for (unsigned i = 0; i < worker->listener_count; i++) {
    listener_resume(&worker->listeners[i]->listener);
    lent_sockets_resume(worker->listeners[i]);
  }
}

/* Once for each policy; nothing is done for one that is not in force. */
static void on_lost(const struct policy_host *host, const void *policy) {
  struct worker *worker = host->proxy ? host->proxy->owner : NULL;
  if (!worker || !worker->instance || worker->instance->policy != policy || worker->told_lost) return;
  worker->told_lost = worker->on_lost != NULL;
  cell_add(&worker->proxy.tally->vms_given_up, 1);
  if (worker->on_lost) worker->on_lost(worker);
}

void worker_init(struct worker *worker, const struct policy_host *host) {
  worker->host = *host;
  list_init(&worker->retired);
  pthread_mutex_init(&worker->wanted_lock, NULL);
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
  OBJ_INIT(worker, WORKER_MAGIC);
}

static void *run(void *argument) {
  struct worker *worker = argument;
  CHECK_OBJ(worker, WORKER_MAGIC);
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

int worker_start(struct worker *worker) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK_BYTES);
  int error = pthread_create(&worker->thread, &attributes, run, worker);
  pthread_attr_destroy(&attributes);
  return error;
}

/* --- switch --------------------------------------------------------------------------------------------- */

/* What a worker is to go over to. It waits in worker->wanted, where a newer one takes its place: a worker that was
 * stuck for five reloads goes over to the fifth. */
struct switch_order {
  struct instance *instance;
  bool was_tried; /* it was this worker's canary before, which owns it until the switch */
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

static void free_listener(struct reaped *reaped) {
  struct worker_listener *own = CONTAINER_OF(reaped, struct worker_listener, reaped);
  CHECK(list_is_empty(&own->lent_sockets));
  if (own->service.tls) tls_context_release(own->service.tls);
  free(own);
}

static void reap_listener(struct worker_listener *own) {
  reaper_add(&own->worker->proxy.reaper, &own->reaped, free_listener);
}

/* A service that is no longer listened on keeps the policy that it was made for, as if it were an exchange of
 * it. */
static void on_service_unused(struct service *service) {
  struct policy_use *use = service->policy.use;
  reap_listener(CONTAINER_OF(service, struct worker_listener, service));
  if (--use->exchanges == 0 && use->on_unused) use->on_unused(use);
}

static struct worker_listener *new_listener(struct worker *worker, const struct worker_service *with) {
  struct worker_listener *own = memory_zalloc(sizeof *own);
  own->worker = worker;
  list_init(&own->lent_sockets);
  own->service.on_unused = on_service_unused;
  own->listener.fd = with->fd;
  own->is_managed = with->is_managed;
  own->listener.may_accept = may_accept;
  own->listener.on_vain = on_vain;
  return own;
}

static void set_service(struct service *service, struct instance *instance,
                        const struct policy_listener *said, const struct worker_service *with) {
  if (service->tls) tls_context_release(service->tls);
  service->policy.hooks = said->hooks;
  service->policy.settings = &said->settings;
  service->policy.use = &instance->use;
  service->tls = with->tls;
  service->is_faulty = with->is_faulty;
  service->traffic = with->traffic;
  service->census = with->census;
  snprintf(service->address, sizeof service->address, "%s", with->address);
}

/* Its last queued connections are still served, by the policy that listened; then it goes with its last
 * connection. */
static void close_listener(struct worker *worker, struct worker_listener *own) {
  own->service.policy.use->exchanges++;
  listener_drain(&own->listener);
  lent_sockets_drain(own);
  lent_sockets_end(own, true);
  listener_stop(&own->listener);
  service_close(&worker->proxy, &own->service);
}

static void switch_listeners(struct worker *worker, const struct switch_order *order) {
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

void worker_retire(struct worker *worker, struct instance *instance) {
  instance_retire(instance, &worker->retired, &worker->proxy.reaper, worker->drain_ms);
}

static struct switch_order *take_order(struct worker *worker) {
  pthread_mutex_lock(&worker->wanted_lock);
  struct switch_order *order = worker->wanted;
  worker->wanted = NULL;
  pthread_mutex_unlock(&worker->wanted_lock);
  return order;
}

static void on_switch(struct message *message, void *receiver) {
  struct worker *worker = receiver;
  CHECK_OBJ(worker, WORKER_MAGIC);
  struct switch_order *order = take_order(worker);
  struct instance *old = worker->instance;
  free(message);
  CHECK(order && order->instance != old);
  worker_end_trials(worker, order->instance);
  switch_listeners(worker, order);
  instance_bind(order->instance, worker->loop, &worker->proxy);
  worker->instance = order->instance;
  worker->told_lost = false;
  if (old) worker_retire(worker, old);
  worker->instance->source->kind->start(worker->instance->policy);
  if (worker->on_switched) worker->on_switched(worker);
  free(order);
}

/* The newer order names listeners by their place in the older one, which is not carried out. What the newer one keeps
 * of it passes over; the rest was never used. */
static void take_over_services(struct switch_order *newer, struct switch_order *older) {
  for (unsigned i = 0; i < newer->count; i++) {
    struct worker_service *service = &newer->services[i];
    if (service->kept < 0) continue;
    CHECK((unsigned)service->kept < older->count);
    struct worker_service *before = &older->services[service->kept];
    service->kept = before->kept;
    if (before->kept < 0) service->fd = before->fd;
    before->fd = -1;
  }
  for (unsigned i = 0; i < older->count; i++) {
    if (older->services[i].tls) tls_context_release(older->services[i].tls);
    if (older->services[i].kept < 0 && older->services[i].fd >= 0) close(older->services[i].fd);
  }
}

/* Nothing of its instance has run. A canary ends as such in the worker. */
static void drop_order(struct switch_order *order) {
  if (!order) return;
  if (!order->was_tried) instance_free(order->instance);
  free(order);
}

void worker_switch(struct worker *worker, struct instance *instance, const struct worker_service *services,
                   unsigned count) {
  struct switch_order *order = memory_alloc(sizeof *order + count * sizeof *services);
  order->instance = instance;
  order->count = count;
  order->was_tried = instance == worker->tried;
  worker->tried = NULL;
  memcpy(order->services, services, count * sizeof *services);
  pthread_mutex_lock(&worker->wanted_lock);
  struct switch_order *older = worker->wanted;
  if (older) take_over_services(order, older);
  worker->wanted = order;
  pthread_mutex_unlock(&worker->wanted_lock);
  if (!older) worker_post(worker, on_switch);
  drop_order(older);
}

/* --- end ------------------------------------------------------------------------------------------------ */

struct stop_message {
  struct message message;
  struct worker_end end;
};

void worker_wind_down(struct worker *worker, unsigned ms) {
  if (worker->instance) instance_wind_down(worker->instance, worker->loop, ms);
  if (worker->canary) instance_wind_down(worker->canary, worker->loop, ms);
}

void worker_cut_background(struct worker *worker) {
  unsigned count = worker->proxy.background_count;
  if (worker->instance) instance_cut(worker->instance);
  if (worker->canary) instance_cut(worker->canary);
  LIST_EACH(node, &worker->retired) instance_cut(LIST_ENTRY(node, struct instance, link));
  if (count)
    log_line(worker->ends_at_once ? LOG_DEBUG : LOG_WARN,
             "%u run%s of background work did not end in time and %s cut", count, plural(count),
             count == 1 ? "is" : "are");
  CHECK(worker->proxy.background_count == 0);
}

static void stop_listening(struct worker *worker, bool shuts) {
  for (unsigned i = 0; i < worker->listener_count; i++) {
    lent_sockets_end(worker->listeners[i], shuts);
    listener_stop(&worker->listeners[i]->listener);
  }
}

static void drain_listeners(struct worker *worker) {
  for (unsigned i = 0; i < worker->listener_count; i++) {
    listener_drain(&worker->listeners[i]->listener);
    lent_sockets_drain(worker->listeners[i]);
  }
}

static void on_stop(struct message *message, void *receiver) {
  const struct stop_message *order = (struct stop_message *)message;
  struct worker *worker = receiver;
  CHECK_OBJ(worker, WORKER_MAGIC);
  if (order->end.grace_ms) {
    drain_listeners(worker);
    stop_listening(worker, !order->end.hands_over);
    timer_set(&worker->grace, order->end.grace_ms);
    worker_wind_down(worker, order->end.background_ms);
    proxy_stop(&worker->proxy, order->end.patience_ms);
  } else {
    worker->ends_at_once = true;
    ev_break(worker->loop, EVBREAK_ALL);
  }
  free(message);
}

/* Also after an upgrade what is queued is served: a successor with fewer workers has closed some of the sockets. */
void worker_stop(struct worker *worker, const struct worker_end *end) {
  struct stop_message *order = memory_alloc(sizeof *order);
  order->message.run = on_stop;
  order->end = *end;
  mailbox_tell(&worker->mailbox, &order->message);
}

void worker_post(struct worker *worker, void (*receive)(struct message *message, void *receiver)) {
  struct message *message = memory_alloc(sizeof *message);
  message->run = receive;
  mailbox_tell(&worker->mailbox, message);
}

void worker_join(struct worker *worker) { pthread_join(worker->thread, NULL); }

void worker_free(struct worker *worker) {
  siblings_leave(&worker->proxy);
  offload_leave(&worker->mailbox);
  mailbox_stop(&worker->mailbox);
  stop_listening(worker, false);
  timer_stop(&worker->grace);
  worker_cut_background(worker);
  proxy_close(&worker->proxy);
  worker_drop_profile(worker);
  worker_drop_recorder(worker);
  instance_free(worker->canary);
  instance_free(worker->shadow);
  instance_free(worker->instance);
  for (unsigned i = 0; i < worker->listener_count; i++) reap_listener(worker->listeners[i]);
  free(worker->listeners);
  CHECK(!worker->wanted);
  pthread_mutex_destroy(&worker->wanted_lock);
  proxy_free(&worker->proxy);
  OBJ_END(worker, WORKER_MAGIC);
  loop_close(worker->loop);
}
