// SPDX-License-Identifier: Apache-2.0
// heartbeat: a timer, one message per worker that goes back and forth, and a ring of seconds.
#include "runtime/observe/heartbeat.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/container.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/ticks.h"
#include "net/resolver.h"
#include "exchange/account.h"
#include "exchange/peer.h"
#include "runtime/environment.h"
#include "runtime/observe/logs.h"
#include "runtime/server.h"
#include "shared/metrics.h"
#include "upstream/http2.h"

enum { BEAT_MS = 1000, SILENT_US = 1000000, AWAY_US = 1500000, STUCK_US = 5000000 };

/* A worker's message. It is the worker's from when it is sent until `out` is false again. */
struct beat {
  struct message message;
  uint64_t sent; /* ticks */
  atomic_bool out;
  bool reported; /* as stuck */
};

struct heartbeat {
  struct timer timer;
  struct server *server; /* borrowed */
  void (*each_second)(struct server *server);
  struct beat *beats; /* owned array, one per worker */
  bool quiet;
  struct second ring[HEARTBEAT_SECONDS];
  unsigned seconds;               /* ever */
  struct traffic before, scratch; /* the sum over all listeners a second ago; and one listener's */
};

static void on_due(struct timer *timer);

struct heartbeat *heartbeat_start(struct server *s, void (*each_second)(struct server *server)) {
  struct heartbeat *p = memory_zalloc_lines(sizeof *p);
  p->server = s;
  p->each_second = each_second;
  p->beats = memory_zalloc(s->worker_count * sizeof *p->beats);
  ticks_calibrate();
  timer_init(&p->timer, s->control.loop, on_due);
  timer_set(&p->timer, BEAT_MS);
  return p;
}

void heartbeat_quieten(struct heartbeat *p) { p->quiet = true; }

void heartbeat_free(struct heartbeat *p) {
  if (!p) return;
  timer_stop(&p->timer);
  free(p->beats);
  free(p);
}

/* --- in a worker ---------------------------------------------------------------------------------------- */

/* Connections of HTTP/2 have any number of requests, none too. */
static void state_upstreams(const struct proxy *proxy) {
  struct http2_counts http2 = {0};
  unsigned idle = 0;
  for (unsigned i = 0; i < PEER_BUCKETS; i++)
    for (const struct peer *peer = proxy->peers[i]; peer; peer = peer->next_in_bucket) {
      idle += peer->idle_count;
      if (peer->http2) http2_peer_count(peer->http2, &http2);
    }
  cell_set(&proxy->tally->upstreams, proxy->upstream_count);
  cell_set(&proxy->tally->upstreams_idle, idle + http2.idle);
  cell_set(&proxy->tally->upstreams_http2, http2.connections);
  cell_set(&proxy->tally->upstream_streams, http2.calls);
}

static void state_retired(const struct worker *worker) {
  uint64_t generations = 0, exchanges = 0;
  LIST_EACH(node, &worker->retired) {
    generations++;
    const struct policy_use *use = &LIST_ENTRY(node, struct instance, link)->use;
    exchanges += use->exchanges - use->jobs;
  }
  cell_set(&worker->proxy.tally->old_generations, generations);
  cell_set(&worker->proxy.tally->old_exchanges, exchanges);
}

static void state_names(struct tally *tally, const struct resolver *resolver) {
  struct resolver_counts counts = resolver_counts(resolver);
  cell_set(&tally->names, counts.lookups);
  cell_set(&tally->names_kept, counts.hits);
  cell_set(&tally->names_stale, counts.stale);
  cell_set(&tally->name_questions, counts.questions);
  cell_set(&tally->name_failures, counts.failures);
  cell_set(&tally->name_servers_silent, counts.silent);
}

static void state(struct worker *worker) {
  const struct proxy *proxy = &worker->proxy;
  struct tally *tally = proxy->tally;
  const struct instance *instance = worker->instance;
  cell_set(&tally->downstreams, proxy->downstream_count);
  cell_set(&tally->exchanges, proxy->exchange_count);
  state_upstreams(proxy);
  cell_set(&tally->background, proxy->background_count);
  cell_set(&tally->lacks_vm, worker->told_lost);
  state_names(tally, proxy->resolver);
  state_retired(worker);
  if (instance && instance->source->kind->memory)
    cell_set(&tally->vm_bytes, instance->source->kind->memory(instance->policy));
}

static void on_beat(struct message *message, void *receiver) {
  struct beat *beat = (struct beat *)message;
  struct worker *worker = receiver;
  CHECK_OBJ(worker, WORKER_MAGIC);
  cell_set(&worker->proxy.tally->lag, ticks_to_us(ticks_since(beat->sent)));
  state(worker);
  atomic_store_explicit(&beat->out, false, memory_order_release);
}

/* --- in the control worker ------------------------------------------------------------------------------ */

static void ask(struct heartbeat *p, unsigned index) {
  struct beat *beat = &p->beats[index];
  bool is_out = atomic_load_explicit(&beat->out, memory_order_acquire);
  if (is_out && !beat->reported && ticks_to_us(ticks_since(beat->sent)) > STUCK_US) {
    log_warn("worker %u is stuck: it has not come back to its loop for %d s", index, STUCK_US / 1000000);
    beat->reported = true;
  }
  if (is_out) return;
  if (beat->reported) log_warn("worker %u is back", index);
  beat->reported = false;
  beat->message.run = on_beat;
  beat->sent = ticks_now();
  atomic_store_explicit(&beat->out, true, memory_order_relaxed);
  if (!mailbox_post(&p->server->workers[index].mailbox, &beat->message)) /* it has ended */
    atomic_store_explicit(&beat->out, false, memory_order_relaxed);
}

static void sum_traffic(struct heartbeat *p, struct traffic *sum) {
  struct str name;
  memset((void *)sum, 0, sizeof *sum);
  for (unsigned i = 0; metrics_listener(p->server->metrics, i, &name, &p->scratch); i++)
    traffic_merge(sum, &p->scratch);
}

static void note_second(struct heartbeat *p) {
  struct second *second = &p->ring[p->seconds++ % HEARTBEAT_SECONDS];
  struct traffic now;
  struct histogram durations;
  *second = (struct second){0};
  sum_traffic(p, &now);
  for (unsigned i = 0; i < TRAFFIC_STATUSES; i++) {
    unsigned count = (unsigned)(cell_get(&now.statuses[i]) - cell_get(&p->before.statuses[i]));
    second->classes[i / 100] += count;
    second->requests += count;
  }
  second->received = cell_get(&now.received) - cell_get(&p->before.received);
  second->sent = cell_get(&now.sent) - cell_get(&p->before.sent);
  histogram_difference(&durations, &now.duration, &p->before.duration);
  second->p50_us = (unsigned)histogram_quantile(&durations, 0.5);
  second->p90_us = (unsigned)histogram_quantile(&durations, 0.9);
  second->p99_us = (unsigned)histogram_quantile(&durations, 0.99);
  memcpy((void *)&p->before, (void *)&now, sizeof now);
}

static void on_due(struct timer *timer) {
  struct heartbeat *p = CONTAINER_OF(timer, struct heartbeat, timer);
  timer_set(&p->timer, BEAT_MS);
  ticks_calibrate();
  state(&p->server->control);
  log_tend();
  logs_tend(p->server->logs);
  environment_beat(p->server->environment);
  for (unsigned i = 0; i < p->server->worker_count && !p->quiet; i++) ask(p, i);
  if (!p->quiet) p->each_second(p->server);
  note_second(p);
}

/* --- who does not come back to its loop ------------------------------------------------------------------- */

static uint64_t silent_us(const struct heartbeat *p, unsigned index) {
  const struct beat *beat = &p->beats[index];
  if (!atomic_load_explicit(&beat->out, memory_order_acquire)) return 0;
  return ticks_to_us(ticks_since(beat->sent));
}

bool heartbeat_is_silent(const struct heartbeat *p, unsigned index) {
  return p && silent_us(p, index) > SILENT_US;
}
bool heartbeat_is_away(const struct heartbeat *p, unsigned index) {
  return p && silent_us(p, index) > AWAY_US;
}
bool heartbeat_is_stuck(const struct heartbeat *p, unsigned index) {
  return p && silent_us(p, index) > STUCK_US;
}

bool heartbeat_is_alive(const struct heartbeat *p) {
  for (unsigned i = 0; i < p->server->worker_count; i++)
    if (!heartbeat_is_stuck(p, i)) return true;
  return false;
}

void heartbeat_describe(const struct heartbeat *p, unsigned index, char *text, size_t bytes) {
  double seconds = p ? (double)silent_us(p, index) / 1e6 : 0;
  if (seconds > 1)
    snprintf(text, bytes, "has not come back to its loop for %.0f s", seconds);
  else
    snprintf(text, bytes, "is busy");
}

const struct second *heartbeat_second(const struct heartbeat *p, unsigned age) {
  static const struct second nothing;
  if (age >= p->seconds || age >= HEARTBEAT_SECONDS) return &nothing;
  return &p->ring[(p->seconds - 1 - age) % HEARTBEAT_SECONDS];
}
