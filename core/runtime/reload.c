// SPDX-License-Identifier: Apache-2.0
// reload: a generation as a transaction. Everything that can fail is done first, in the control worker's
// thread, while the workers serve: each worker's instance is loaded, each new listener opened. Only when all
// of it has succeeded do the workers get a message to switch, which cannot fail. So all change or none, and
// no worker waits for a script to load.
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "net/tls_context.h"
#include "runtime/notify.h"
#include "runtime/reload.h"
#include "runtime/server.h"
#include "runtime/watch.h"
#include "shared/metrics.h"

static void free_instances(struct instance **instances, unsigned count) {
  for (unsigned i = 0; i < count; i++) instance_free(instances[i]);
  free(instances);
}

static struct worker *worker_at(struct server *s, unsigned index) {
  return index == s->worker_count ? &s->control : &s->workers[index];
}

/* One for each worker, the control worker's last. */
static struct instance **load_all(struct server *s, struct registry *registry, char **why) {
  unsigned count = s->worker_count + 1;
  struct instance **instances = memory_zalloc(count * sizeof *instances);
  for (unsigned i = 0; i < count; i++) {
    struct policy_host host = worker_at(s, i)->host;
    host.registry = registry;
    instances[i] = instance_load(&s->options->source, &host, s->generation + 1, why);
    if (instances[i]) continue;
    free_instances(instances, i);
    return NULL;
  }
  return instances;
}

static struct listening *open_all(struct server *s, const struct instance *instance, char **why) {
  unsigned count;
  const struct policy_kind *kind = s->options->source.kind;
  const struct policy_listener *said = kind->listeners(instance->policy, &count);
  return listening_open(said, count, s->worker_count, s->listening, why);
}

/* The control worker's is not served from. */
static bool open_logs(struct server *s, struct instance **instances, char **why) {
  const char *fallback = config_text(s->options->config, CONFIG_access_log);
  for (unsigned i = 0; i < s->worker_count; i++)
    if (!instance_open_logs(instances[i], s->logs, fallback, why)) return false;
  return true;
}

static void hand_out(struct server *s, const struct listening *l, unsigned index, struct instance *instance) {
  struct worker_service *services = memory_zalloc(l->count * sizeof *services);
  for (unsigned i = 0; i < l->count; i++) {
    const struct listening_entry *entry = &l->entries[i];
    services[i].kept = entry->kept;
    services[i].fd = entry->fds[index];
    services[i].traffic = metrics_traffic(s->metrics, str_of(entry->address), index);
    services[i].tls = entry->tls ? tls_context_hold(entry->tls) : NULL;
    memcpy(services[i].address, entry->address, sizeof services[i].address);
  }
  worker_switch(&s->workers[index], instance, services, l->count);
  free(services);
}

/* The control worker has no listeners, and no exchanges but those of the policy's own. */
static void switch_control(struct server *s, struct instance *instance) {
  if (s->control.instance) instance_retire(s->control.instance, &s->control.proxy.reaper);
  const struct policy_kind *kind = instance->source->kind;
  s->control.instance = instance;
  char *files = s->watch && kind->files ? kind->files(instance->policy) : NULL;
  if (s->watch) watch_files(s->watch, files);
  free(files);
  kind->start(instance->policy);
}

static void report(const struct listening *now, const struct listening *before) {
  for (unsigned i = 0; i < now->count; i++)
    if (now->entries[i].kept < 0)
      log_info("listening on %s%s", now->entries[i].address, now->entries[i].tls ? " (TLS)" : "");
  if (before && listening_dropped(now, before))
    log_info("no longer listening on %u addresses", listening_dropped(now, before));
}

static struct generation *refuse(struct server *s, struct instance **instances, const char *why) {
  if (instances) free_instances(instances, s->worker_count + 1);
  chronicle_note(&s->chronicle, s->generation, false, why);
  return NULL;
}

struct generation *generation_load_apart(struct server *s, struct registry *registry, char **why) {
  tls_context_refresh_clients(); /* changed certificates are read anew */
  struct instance **instances = load_all(s, registry, why);
  if (!instances) return refuse(s, NULL, *why);
  bool fine = open_logs(s, instances, why);
  struct listening *listening = fine ? open_all(s, instances[s->worker_count], why) : NULL;
  if (!listening) return refuse(s, instances, *why);
  struct generation *g = memory_alloc(sizeof *g);
  *g = (struct generation){instances, listening};
  return g;
}

struct generation *generation_load(struct server *s, char **why) {
  return generation_load_apart(s, s->registry, why);
}

unsigned *generation_order(const struct generation *g) {
  const struct listening *now = g->listening;
  unsigned *order = memory_zalloc(now->count * sizeof *order);
  for (unsigned i = 0; i < now->count; i++) order[now->entries[i].kept] = i;
  return order;
}

bool generation_keeps_listeners(const struct server *s, const struct generation *g) {
  return g->listening->count == s->listening->count && listening_dropped(g->listening, s->listening) == 0;
}

void generation_put_in_force(struct server *s, struct generation *g) {
  s->generation++;
  s->switching = s->worker_count;
  for (unsigned i = 0; i < s->worker_count; i++) hand_out(s, g->listening, i, g->instances[i]);
  switch_control(s, g->instances[s->worker_count]);
  report(g->listening, s->listening);
  listening_free(s->listening, false);
  s->listening = g->listening;
  free(g->instances);
  free(g);
  char text[64];
  snprintf(text, sizeof text, "generation %u is in force", s->generation);
  chronicle_note(&s->chronicle, s->generation, true, text);
}

void generation_free(struct generation *g, unsigned workers) {
  listening_free(g->listening, true);
  free_instances(g->instances, workers + 1);
  free(g);
}

/* --- on behalf of those who ask --------------------------------------------------------------------------- */

const char *server_obstacle(const struct server *s) {
  if (s->stopping) return "the proxy is stopping";
  if (s->handover) return "an upgrade is under way";
  if (s->canary) return "a canary is under way";
  if (s->dryrun) return "a shadow is under way";
  if (s->switching) return "a reload is under way already";
  return NULL;
}

bool server_reload(struct server *s, char **why) {
  notify_reloading();
  struct generation *g = generation_load(s, why);
  if (g)
    generation_put_in_force(s, g);
  else
    notify_reloaded(*why);
  return g != NULL;
}

void server_request_reload(struct server *s) {
  char *why = NULL;
  if (s->stopping) return;
  s->reload_again = server_obstacle(s) != NULL;
  if (s->reload_again) return;
  if (!server_reload(s, &why)) log_error("reload: %s; generation %u stays in force", why, s->generation);
  free(why);
}

void server_reload_queued(struct server *s) {
  if (s->reload_again) server_request_reload(s);
}
