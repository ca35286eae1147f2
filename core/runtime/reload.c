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
#include "runtime/changes.h"
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

/* One for each worker, the control worker's last, whose settings are as good as any. A service manager's patience
 * is for one of them, not for the sum. */
static struct instance **load_all(struct server *s, struct registry *registry, struct config *config,
                                  char **why) {
  unsigned count = s->worker_count + 1;
  struct instance **instances = memory_zalloc(count * sizeof *instances);
  for (unsigned i = 0; i < count; i++) {
    struct policy_host host = worker_at(s, i)->host;
    host.registry = registry;
    if (i == s->worker_count) host.config = config;
    instances[i] = instance_load(&s->options->source, &host, s->generation + 1, why);
    if (notify_watchdog_ms()) notify_state("WATCHDOG=1");
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
static void switch_control(struct server *s, struct instance *instance, const char *files) {
  if (s->control.instance)
    instance_retire(s->control.instance, &s->control.retired, &s->control.proxy.reaper, s->control.drain_ms);
  const struct policy_kind *kind = instance->source->kind;
  s->control.instance = instance;
  if (s->watch) watch_files(s->watch, files);
  kind->start(instance->policy);
}

/* The first generation's listeners are news as well, its files and settings are not. */
static char *describe_changes(struct server *s, struct generation *g, struct stamps *files) {
  char *text = NULL;
  size_t bytes;
  FILE *out = open_memstream(&text, &bytes);
  if (s->generation) changes_of_files(s->files, files, out);
  changes_of_listeners(s->listening, g->listening, out);
  if (s->generation) changes_of_settings(s->options->config, &g->config, out);
  fclose(out);
  return text;
}

static void log_lines(const char *text) {
  struct str rest = str_of(text), line;
  while (str_split(&rest, '\n', &line))
    if (line.len) log_about(LOG_INFO, line, "%.*s", STR_ARG(str_trim(line)));
}

/* What has changed is logged, and told to who has asked for it once all workers have switched. */
static void note_changes(struct server *s, struct generation *g, const char *files) {
  struct stamps *stamps = stamps_take(files);
  free(s->changes);
  s->changes = describe_changes(s, g, stamps);
  log_lines(s->changes);
  stamps_free(s->files);
  s->files = stamps;
}

/* The listeners of one instance are served by the hooks of the others, by number. */
static bool is_same_everywhere(struct server *s, struct instance **instances, char **why) {
  const struct policy_kind *kind = s->options->source.kind;
  unsigned count, other;
  const struct policy_listener *said = kind->listeners(instances[s->worker_count]->policy, &count);
  for (unsigned w = 0; w < s->worker_count; w++) {
    const struct policy_listener *theirs = kind->listeners(instances[w]->policy, &other);
    bool same = other == count;
    for (unsigned i = 0; same && i < count; i++) same = str_equal(said[i].address, theirs[i].address);
    if (same) continue;
    *why = memory_alloc(160);
    snprintf(
        *why, 160,
        "the policy listens elsewhere in worker %u than in the control worker; perilune.listen must be the "
        "same in all",
        w);
    return false;
  }
  return true;
}

static struct generation *refuse(struct server *s, struct instance **instances, const char *why) {
  if (instances) free_instances(instances, s->worker_count + 1);
  if (s->watch) watch_doubt(s->watch);
  chronicle_note(&s->chronicle, s->generation, false, why);
  return NULL;
}

/* Each worker's instance is loaded from the files: were one written meanwhile, some could be older than others. */
static bool is_torn(const struct instance *control, const struct timespec *begin) {
  const struct policy_kind *kind = control->source->kind;
  char *files = kind->files ? kind->files(control->policy) : NULL;
  struct stamps *stamps = stamps_take(files);
  bool torn = stamps_have_changed(stamps, begin);
  stamps_free(stamps);
  free(files);
  return torn;
}

enum { LOAD_TRIES = 20, FILE_TICK_NS = 4000000 };

static struct instance **load_whole(struct server *s, struct registry *registry, struct config *config,
                                    char **why) {
  for (int i = 0; i < LOAD_TRIES; i++) {
    struct timespec begin, tick = {0, FILE_TICK_NS};
    clock_gettime(CLOCK_REALTIME_COARSE, &begin);
    config_init(config);
    struct instance **instances = load_all(s, registry, config, why);
    if (instances && !is_torn(instances[s->worker_count], &begin)) return instances;
    config_free(config);
    if (!instances) return NULL;
    free_instances(instances, s->worker_count + 1);
    nanosleep(&tick, NULL); /* files' times are no finer than that */
  }
  *why = str_to_cstring(STR("the policy's files are written all the time"));
  return NULL;
}

struct generation *generation_load_apart(struct server *s, struct registry *registry, char **why) {
  struct config config;
  tls_context_refresh_clients(); /* changed certificates are read anew */
  struct instance **instances = load_whole(s, registry, &config, why);
  if (!instances) return refuse(s, NULL, *why);
  bool fine = is_same_everywhere(s, instances, why) && open_logs(s, instances, why);
  struct listening *listening = fine ? open_all(s, instances[s->worker_count], why) : NULL;
  if (!listening) {
    config_free(&config);
    return refuse(s, instances, *why);
  }
  struct generation *g = memory_alloc(sizeof *g);
  *g = (struct generation){instances, listening, config};
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
  struct instance *control = g->instances[s->worker_count];
  char *files = control->source->kind->files ? control->source->kind->files(control->policy) : NULL;
  note_changes(s, g, files);
  s->generation++;
  s->switching = s->worker_count;
  for (unsigned i = 0; i < s->worker_count; i++) hand_out(s, g->listening, i, g->instances[i]);
  switch_control(s, control, files);
  free(files);
  listening_free(s->listening, false);
  s->listening = g->listening;
  config_free(&g->config);
  free(g->instances);
  free(g);
  char text[64];
  snprintf(text, sizeof text, "generation %u is in force", s->generation);
  chronicle_note(&s->chronicle, s->generation, true, text);
}

void generation_free(struct generation *g, unsigned workers) {
  listening_free(g->listening, true);
  free_instances(g->instances, workers + 1);
  config_free(&g->config);
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
  if (!server_reload(s, &why))
    log_about(LOG_ERROR, str_of(why), "reload: %s; generation %u stays in force", why, s->generation);
  free(why);
}

void server_reload_queued(struct server *s) {
  if (s->reload_again) server_request_reload(s);
}
