// SPDX-License-Identifier: Apache-2.0
// reload: a generation as a transaction. Everything that can fail is done first, while the workers serve: each worker's
// instance is loaded (runtime/deploy/loader.h), then each new listener opened. Only if all of this has succeeded, the
// workers get a message to switch, which cannot fail. So all workers switch or none, and no request waits for a load.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/why.h"
#include "net/tls_context.h"
#include "net/tls_identity.h"
#include "runtime/command.h"
#include "runtime/deploy/bundle_check.h"
#include "runtime/deploy/changes.h"
#include "runtime/deploy/findings.h"
#include "runtime/deploy/loader.h"
#include "runtime/deploy/reload.h"
#include "runtime/deploy/switching.h"
#include "runtime/deploy/watch.h"
#include "runtime/lending.h"
#include "runtime/notify.h"
#include "runtime/observe/admin.h"
#include "runtime/observe/logs.h"
#include "runtime/server.h"
#include "shared/metrics.h"
#include "shared/registry.h"

static struct listening *open_all(struct server *s, const struct instance *instance, char **why) {
  unsigned count;
  const struct policy_kind *kind = s->options->source.kind;
  const struct policy_listener *said = kind->listeners(instance->policy, &count);
  if (!admin_is_apart(s->options->config, said, count, why)) return NULL;
  return listening_open(said, count, s->worker_count, s->listening, why);
}

/* The control worker's is not served from. */
static bool open_logs(struct server *s, struct instance **instances, char **why) {
  for (unsigned i = 0; i < s->worker_count; i++)
    if (!instance_open_logs(instances[i], s->logs, s->options->config, why)) return false;
  return true;
}

static void hand_out(struct server *s, const struct listening *l, unsigned index, struct instance *instance) {
  struct worker_service *services = memory_zalloc(l->count * sizeof *services);
  CHECK(!instance->is_winding_down && instance->generation == s->generation);
  for (unsigned i = 0; i < l->count; i++) {
    const struct listening_entry *entry = &l->entries[i];
    services[i].kept = entry->kept;
    services[i].fd = entry->fds[index];
    services[i].is_managed = entry->file.owner == OWNER_MANAGER;
    services[i].traffic = metrics_traffic(s->metrics, str_of(entry->address), index);
    services[i].census = metrics_census(s->metrics, str_of(entry->address));
    services[i].is_faulty = entry->fault != NULL;
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
  instance_bind(instance, s->control.loop, &s->control.proxy);
  s->control.instance = instance;
  s->control.told_lost = false;
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

/* As many as the policy has: each is another one, and nothing of it is to be throttled. NULL is fine. */
static void log_lines(enum log_level level, const char *text) {
  struct str rest = str_of(text), line;
  while (text && str_split(&rest, '\n', &line))
    if (line.len) log_unthrottled(level, "%.*s", STR_ARG(str_trim(line)));
}

/* The changes are logged, and told to the client once all workers have switched. */
static void note_changes(struct server *s, struct generation *g, const char *files) {
  struct stamps *stamps = stamps_take(files);
  free(s->changes);
  s->changes = describe_changes(s, g, stamps);
  log_lines(LOG_INFO, s->changes);
  s->changes = findings_append(s->changes, g->findings);
  stamps_free(s->files);
  s->files = stamps;
}

static void complain_of_listeners(const struct listening *l) {
  for (unsigned i = 0; i < l->count; i++)
    if (l->entries[i].fault)
      log_unthrottled(LOG_ERROR,
                      "listener %s: %s; its connections are closed until a reload finds good files",
                      l->entries[i].address, l->entries[i].fault);
}

/* --- loading ---------------------------------------------------------------------------------------------- */

static struct generation *refuse(struct server *s, struct instance **instances, const char *why) {
  if (instances) instances_free(instances, s->worker_count + 1);
  if (s->watch) watch_doubt(s->watch);
  reload_log_note(&s->reload_log, s->generation, false, why);
  return NULL;
}

/* `reload --strict`: also what would be a warning. The log has all of them. */
static bool is_strict_enough(struct server *s, const struct loaded *loaded, char **why) {
  bool is_strict = s->load_is_strict;
  s->load_is_strict = false;
  if (!is_strict || !loaded->instances || !loaded->findings) return true;
  log_lines(LOG_WARN, loaded->findings);
  return why_say(why, "--strict refuses it: %.*s; 'perilune check %s' lists what there is",
                 (int)strcspn(loaded->findings, "\n"), loaded->findings, s->options->source.name);
}

/* What is opened is opened in the control thread, once all has loaded. `registry` passes over. NULL: loaded->why. */
static struct generation *assemble(struct server *s, struct loaded *loaded, struct registry *registry) {
  struct instance **instances = loaded->instances;
  char **why = &loaded->why;
  bool fine = is_strict_enough(s, loaded, why) && instances && open_logs(s, instances, why);
  struct listening *listening = fine ? open_all(s, instances[s->worker_count], why) : NULL;
  if (!listening) {
    if (instances) config_free(&loaded->config);
    tls_refresh_drop(loaded->tls);
    free(loaded->findings);
    registry_free(registry);
    return refuse(s, instances, *why);
  }
  struct generation *g = memory_alloc(sizeof *g);
  *g = (struct generation){instances, listening, loaded->config, registry, loaded->tls, loaded->findings};
  log_lines(LOG_WARN, g->findings);
  complain_of_listeners(listening);
  return g;
}

struct generation *generation_load_now(struct server *s, struct first_load *first, char **why) {
  struct loaded loaded;
  struct registry *stage = first->registry;
  first->registry = NULL;
  loader_run(s, stage, first, &loaded);
  struct generation *g = assemble(s, &loaded, stage);
  *why = loaded.why;
  return g;
}

/* The client that has asked for a load. */
struct asker {
  generation_done *done;
  void *owner;               /* borrowed */
  struct registry *registry; /* reference */
};

static void on_loaded(struct server *s, struct loaded *loaded, void *owner) {
  struct asker asker = *(struct asker *)owner;
  free(owner);
  struct generation *g = NULL;
  if (phase_is_over(s->phase))
    registry_free(asker.registry);
  else
    g = assemble(s, loaded, asker.registry);
  asker.done(s, g, loaded->why, asker.owner);
  free(loaded->why);
}

bool generation_load(struct server *s, struct registry *registry, generation_done *done, void *owner,
                     char **why) {
  CHECK(!s->loader);
  bool fine = bundle_check(s->options->source.source, why);
  s->loader = fine ? loader_start(s, registry, on_loaded, why) : NULL;
  if (!s->loader) {
    registry_free(registry);
    return false;
  }
  struct asker *asker = memory_alloc(sizeof *asker);
  *asker = (struct asker){done, owner, registry};
  loader_set_owner(s->loader, asker);
  return true;
}

unsigned *generation_order(const struct generation *g) {
  const struct listening *now = g->listening;
  unsigned *order = memory_zalloc(now->count * sizeof *order);
  for (unsigned i = 0; i < now->count; i++) {
    CHECK(now->entries[i].kept >= 0 && (unsigned)now->entries[i].kept < now->count);
    order[now->entries[i].kept] = i;
  }
  return order;
}

bool generation_keeps_listeners(const struct server *s, const struct generation *g) {
  return g->listening->count == s->listening->count && listening_dropped(g->listening, s->listening) == 0;
}

/* What is taken from the machine is checked again. */
static void put_environment_in_force(struct generation *g) {
  tzset();
  tls_refresh_commit(g->tls);
  g->tls = NULL;
  tls_context_forget_unused();
  tls_identity_forget_unused();
}

void generation_put_in_force(struct server *s, struct generation *g) {
  struct instance *control = g->instances[s->worker_count];
  char *files = control->source->kind->files ? control->source->kind->files(control->policy) : NULL;
  note_changes(s, g, files);
  CHECK(!s->loader && g->listening->workers == s->worker_count); /* one change at a time */
  registry_merge(g->registry);
  logs_commit(s->logs);
  put_environment_in_force(g);
  s->generation++;
  server_enter(s, PHASE_SWITCHING);
  for (unsigned i = 0; i < s->worker_count; i++) hand_out(s, g->listening, i, g->instances[i]);
  switch_control(s, control, files);
  free(files);
  listening_unlink_dropped(g->listening, s->listening);
  listening_free(s->listening, false);
  s->listening = g->listening;
  lending_renew(s);
  config_free(&g->config);
  registry_free(g->registry);
  free(g->findings);
  free(g->instances);
  free(g);
  char text[64];
  snprintf(text, sizeof text, "generation %u is in force", s->generation);
  reload_log_note(&s->reload_log, s->generation, true, text);
  switching_begin(s);
}

void generation_free(struct generation *g, unsigned workers) {
  listening_free(g->listening, true);
  instances_free(g->instances, workers + 1);
  config_free(&g->config);
  tls_refresh_drop(g->tls);
  registry_free(g->registry);
  free(g->findings);
  free(g);
}

/* --- on behalf of those who ask --------------------------------------------------------------------------- */

/* Before all others that wait: the client that has aborted it. */
static void tell_abort(struct server *s, const char *what) {
  char *text = why_text("the %s was ended while it was being loaded; generation %u stays in force\n", what,
                        s->generation);
  command_ended(s->command, WAITS_FOR_ABORT, true, text);
  free(text);
}

void generation_refuse(struct server *s, const char *what, const char *why) {
  bool aborted = s->load_aborted;
  char *text = why_text("%s\ngeneration %u stays in force\n", why, s->generation);
  s->load_aborted = false;
  log_about(aborted ? LOG_WARN : LOG_ERROR, str_of(why), "%s: %s; generation %u stays in force", what, why,
            s->generation);
  if (aborted) tell_abort(s, what);
  if (s->command) command_load_ended(s->command, aborted ? EXIT_FAILED : EXIT_BAD_INPUT, text);
  free(text);
}

static void refuse_reload(struct server *s, const char *why) {
  notify_reloaded(why);
  generation_refuse(s, "reload", why);
}

static void on_reload_loaded(struct server *s, struct generation *g, const char *why, void *owner) {
  (void)owner;
  if (g) {
    generation_put_in_force(s, g);
  } else if (!phase_is_over(s->phase)) {
    server_enter(s, PHASE_SERVING);
    refuse_reload(s, why);
    server_reload_queued(s);
  }
}

void server_reload(struct server *s) {
  char *why = NULL;
  server_enter(s, PHASE_LOADING);
  notify_reloading();
  if (generation_load(s, registry_stage(s->registry), on_reload_loaded, NULL, &why)) return;
  server_enter(s, PHASE_SERVING);
  refuse_reload(s, why);
  free(why);
}

void server_request_reload(struct server *s) {
  const char *obstacle = server_refusal(s, DEMAND_RELOAD);
  if (phase_is_over(s->phase)) return;
  if (obstacle && !s->reload_again) log_info("reload: %s; the reload follows after it", obstacle);
  s->reload_again = obstacle != NULL;
  if (!obstacle) server_reload(s);
}

void server_reload_queued(struct server *s) {
  if (s->reload_again) server_request_reload(s);
}
