// SPDX-License-Identifier: Apache-2.0
// process: start, signals, stop. Runs in the process's first thread, which is the control worker's.
// A start is the first reload, with nothing in force before it.
#include "runtime/process.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/container.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/ticks.h"
#include "base/why.h"
#include "net/descriptors.h"
#include "net/loop.h"
#include "net/offload.h"
#include "net/tls_identity.h"
#include "upstream/borrow.h"
#include "runtime/command.h"
#include "runtime/commands.h"
#include "runtime/debugging.h"
#include "runtime/deploy/bundle.h"
#include "runtime/deploy/canary.h"
#include "runtime/deploy/changes.h"
#include "runtime/deploy/dryrun.h"
#include "runtime/deploy/emergency.h"
#include "runtime/deploy/handover.h"
#include "runtime/deploy/inherited.h"
#include "runtime/deploy/loader.h"
#include "runtime/deploy/reload.h"
#include "runtime/deploy/switching.h"
#include "runtime/deploy/watch.h"
#include "runtime/environment.h"
#include "runtime/lending.h"
#include "runtime/live/tracers.h"
#include "runtime/notify.h"
#include "runtime/observe/admin.h"
#include "runtime/observe/heartbeat.h"
#include "runtime/observe/logs.h"
#include "runtime/observe/profiling.h"
#include "runtime/observe/recording.h"
#include "runtime/privileges.h"
#include "runtime/server.h"
#include "runtime/steer/log_level.h"
#include "runtime/signals.h"
#include "runtime/starting.h"
#include "shared/metrics.h"
#include "shared/registry.h"

/* --- phases ------------------------------------------------------------------------------------------------ */

void server_enter(struct server *s, enum phase phase) {
  CHECK(phase_may_follow(s->phase, phase));
  log_debug("%s, now %s", phase_name(s->phase), phase_name(phase));
  s->phase = phase;
  s->phase_since = moment_now();
  if (phase_is_over(phase)) debugging_end(s->debugging);
}

/* A trial rests on workers that answer. */
static const char *trial_refusal(const struct server *s) {
  if (switching_behind(s))
    return "a worker has not come to the generation in force yet; see 'perilune status'";
  for (unsigned i = 0; i < s->worker_count; i++)
    if (heartbeat_is_stuck(s->heartbeat, i))
      return "a worker does not come back to its loop; see 'perilune status'";
  return NULL;
}

/* "a reload is under way already, since 2026-11-30 03:41:12 (12 s ago), of policy.lua; ... ends it" */
static const char *describe_obstacle(struct server *s, const char *obstacle) {
  char at[32];
  struct tm local;
  const char *way_out = phase_way_out(s->phase);
  bool has_file = phase_is_of_policy(s->phase);
  localtime_r(&s->phase_since.date, &local);
  strftime(at, sizeof at, "%Y-%m-%d %H:%M:%S", &local);
  snprintf(s->refusal, sizeof s->refusal, "%s, since %s (%ld s ago)%s%.*s%s%s", obstacle, at,
           (long)moment_age_s(s->phase_since), has_file ? ", of " : "", REFUSAL_BYTES / 2,
           has_file ? s->options->source.name : "", way_out ? "; " : "", way_out ? way_out : "");
  return s->refusal;
}

const char *server_refusal(struct server *s, enum demand demand) {
  const char *why = phase_refusal(s->phase, demand);
  if (why && s->phase_since.date) return describe_obstacle(s, why);
  bool is_trial = demand == DEMAND_CANARY || demand == DEMAND_SHADOW;
  return !why && is_trial ? trial_refusal(s) : why;
}

/* The service manager is told that we live while this loop turns and at least one worker comes back to its own: where
 * all are stuck nothing is served, and only a new process helps. */
static void on_watchdog(struct timer *timer) {
  struct server *s = CONTAINER_OF(timer, struct server, watchdog);
  if (heartbeat_is_alive(s->heartbeat)) notify_state("WATCHDOG=1");
  timer_set(timer, notify_watchdog_ms() / 2);
}

void server_begin_to_serve(struct server *s) {
  server_adopt_files(s);
  pid_file_write(&s->pid_file);
  notify_ready();
  if (config_number(s->options->config, CONFIG_daemon)) privileges_detach();
  timer_init(&s->watchdog, s->control.loop, on_watchdog);
  if (notify_watchdog_ms()) timer_set(&s->watchdog, notify_watchdog_ms() / 2);
  log_info("ready: %u worker%s, %s", s->worker_count, plural(s->worker_count), s->options->source.name);
}

/* --- the process ---------------------------------------------------------------------------------------- */

static struct policy_host host_of(const struct server *s, unsigned worker) {
  return (struct policy_host){.registry = s->registry,
                              .debug = debugging_of(s->debugging),
                              .metrics = s->metrics,
                              .worker = worker,
                              .workers = s->worker_count,
                              .is_control = worker == s->worker_count};
}

/* What these wait for from a worker is told by functions that are set before it runs. */
static void heed(struct worker *worker) {
  canary_heed(worker);
  dryrun_heed(worker);
  profiling_heed(worker);
  recording_heed(worker);
}

static void init_workers(struct server *s) {
  unsigned drain_ms = config_number(s->options->config, CONFIG_drain);
  bool low_latency = config_number(s->options->config, CONFIG_low_latency);
  struct policy_host host = host_of(s, s->worker_count);
  worker_init(&s->control, &host);
  s->control.owner = s;
  s->control.on_lost = emergency_ask;
  s->control.drain_ms = drain_ms;
  heed(&s->control);
  s->tracers = tracers_new(s);
  if (s->worker_count > 1) s->siblings = siblings_new(s->worker_count);
  for (unsigned i = 0; i < s->worker_count; i++) {
    host = host_of(s, i);
    worker_init(&s->workers[i], &host);
    s->workers[i].owner = s;
    s->workers[i].drain_ms = drain_ms;
    heed(&s->workers[i]);
    s->workers[i].proxy.live_queue = tracers_queue(s->tracers);
    if (low_latency) coalesce_stop(&s->workers[i].proxy.coalesce);
    if (s->siblings) siblings_join(s->siblings, &s->workers[i].proxy);
    s->workers[i].on_ended = server_worker_ended;
    s->workers[i].on_switched = switching_report;
    s->workers[i].on_lost = emergency_ask;
  }
}

static bool open_admin(struct server *s, char **why) {
  const struct config *config = s->options->config;
  if (!config_text(config, CONFIG_admin)) return true;
  s->admin = admin_open(s, config, why);
  return s->admin != NULL;
}

/* One that was asked for must be there, and nobody else may be heard in our name; but the other is not seen where there
 * is no network namespace of ours. */
static bool open_command_socket(struct server *s, char **why) {
  const char *path = config_text(s->options->config, CONFIG_socket);
  bool is_taken = false;
  steer_log_level_init(s);
  s->command = command_listen(s, path, commands_obey, &is_taken, why);
  if (s->command || path || is_taken) return s->command != NULL;
  log_warn("commands are not heard: %s", *why);
  free(*why);
  *why = NULL;
  return true;
}

/* All, or none goes on: the first policy waits in their mailboxes. */
static bool start_workers(struct server *s) {
  for (unsigned i = 0; i < s->worker_count; i++) {
    int code = worker_start(&s->workers[i]);
    if (code == 0) {
      s->running++;
      continue;
    }
    log_error("cannot start worker %u: %s", i, strerror(code));
    server_stop(s, true);
    return false;
  }
  return true;
}

static bool serve(struct server *s) {
  server_prepare_end(s);
  emergency_init(s);
  bool fine = start_workers(s);
  unsigned started = s->running;
  if (s->running) ev_run(s->control.loop, 0);
  timer_stop(&s->overdue);
  emergency_stop(s);
  for (unsigned i = 0; i < started; i++) worker_join(&s->workers[i]);
  for (unsigned i = started; i < s->worker_count; i++) worker_free(&s->workers[i]);
  return fine;
}

/* Reads what the policy configures, which must be known before there are workers. What is loaded for that becomes the
 * control worker's. */
static bool load_first(const struct server *s, struct first_load *first, char **why) {
  struct config *config = s->options->config;
  unsigned workers = config_workers(config);
  struct policy_host host = {.registry = first->registry = registry_stage(s->registry),
                             .workers = workers,
                             .worker = workers,
                             .is_control = true,
                             .is_check = s->options->print_config,
                             .is_first = true,
                             .config = config};
  clock_gettime(CLOCK_REALTIME_COARSE, &first->begun);
  first->instance = instance_load(&s->options->source, &host, 1, why);
  return first->instance != NULL;
}

/* The child is the daemon; false: this is the parent, and over. */
static bool become_daemon(const struct server *s, int *code) {
  const struct policy_kind *kind = s->options->source.kind;
  if (!config_number(s->options->config, CONFIG_daemon)) return true;
  if (kind->fork) kind->fork(s->options->source.source, false);
  if (!privileges_daemonize(code)) return false;
  if (kind->fork) kind->fork(s->options->source.source, true);
  return true;
}

/* To who started us, in whichever way. Takes over `why`. */
static void complain(char *why) {
  fprintf(stderr, "perilune: %s\n", why);
  notify_failed(why);
  free(why);
}

/* A machine that lacks what a loop needs is told before there is anything else. */
static bool open_loops(struct server *s) {
  char *why = NULL;
  s->workers = memory_zalloc(s->worker_count * sizeof *s->workers);
  s->control.loop = loop_open(&why);
  for (unsigned i = 0; i < s->worker_count && !why; i++) s->workers[i].loop = loop_open(&why);
  if (!why) return true;
  complain(why);
  loop_close(s->control.loop);
  for (unsigned i = 0; i < s->worker_count; i++) loop_close(s->workers[i].loop);
  free(s->workers);
  return false;
}

static bool serve_until_stopped(struct server *s) {
  bool fine = serve(s);
  server_remove_files(s);
  log_flush();
  log_info("stopped");
  return fine;
}

/* Who it is to serve as, with what it opened before: these go to that user. */
static bool become_user(struct server *s, char **why) {
  const struct config *config = s->options->config;
  const char *user = config_text(config, CONFIG_user);
  if (!pid_file_open(&s->pid_file, config_text(config, CONFIG_pid_file), user, why)) return false;
  command_give(s->command, user);
  logs_give(s->logs, user);
  return privileges_drop(user, config_text(config, CONFIG_group), why);
}

/* Named as it was set. */
static bool open_error_log(struct server *s, char **why) {
  const struct config *config = s->options->config;
  char name[CONFIG_OPTION_BYTES];
  return logs_open_errors(s->logs, config_text(config, CONFIG_error_log), why) ||
         why_prefix(why, "%s ", config_said(config, CONFIG_error_log, name));
}

/* All that can fail before the first connection. */
static bool start(struct server *s, struct first_load *first, char **why) {
  const struct config *config = s->options->config;
  init_workers(s);
  debugging_begin(s->debugging);
  switching_init(&s->switching, s);
  lending_init(&s->lending, s);
  if (!signals_watch(&s->signals, s, why)) return false;
  if (config_number(config, CONFIG_watch)) s->watch = watch_new(s, why);
  bool opened = !*why && open_error_log(s, why);
  opened = opened && open_admin(s, why) && open_command_socket(s, why);
  struct generation *g = opened ? generation_load_now(s, first, why) : NULL;
  if (!g) return false;
  inherited_drop_rest();
  bool fine = become_user(s, why);
  const char *user = config_text(config, CONFIG_user);
  if (fine && user) instance_warn_of_files(g->instances[s->worker_count], user);
  if (fine)
    generation_put_in_force(s, g);
  else
    generation_free(g, s->worker_count);
  return fine;
}

/* A main chunk that is blocked in a call uses what would be freed. What others see of the process has gone already. */
static void end_beside_loader(struct server *s) {
  log_warn("the policy that is loaded blocks its thread: the process ends without it");
  logs_free(s->logs);
  _exit(EXIT_FINE);
}

static void on_second(struct server *s) {
  lending_beat(s);
  tracers_collect(s->tracers);
}

static int run(struct server *s, struct first_load *first) {
  char *why = NULL;
  starting_begin(s->options->source.name); /* a daemon has another process id than who has begun */
  bool fine = start(s, first, &why);
  starting_end();
  int code = fine ? EXIT_FINE : EXIT_BAD_INPUT;
  if (fine) {
    s->heartbeat = heartbeat_start(s, on_second);
    descriptors_begin(s->worker_count);
    s->environment = environment_new();
    memory_drop_text();
    if (!serve_until_stopped(s)) code = EXIT_FAILED;
  } else {
    complain(why);
    for (unsigned i = 0; i < s->worker_count; i++) worker_free(&s->workers[i]);
  }
  signals_forget(&s->signals);
  switching_free(&s->switching);
  lending_free(&s->lending);
  pid_file_close(&s->pid_file);
  command_close(s->command);
  steer_log_level_end(s);
  if (!loader_end(s->loader)) end_beside_loader(s);
  stamps_free(s->files);
  free(s->changes);
  ancestors_free(&s->ancestors);
  heartbeat_free(s->heartbeat);
  environment_free(s->environment);
  watch_free(s->watch);
  admin_stop(s->admin);
  debugging_end(s->debugging);
  listening_free(s->listening, false);
  tracers_free(s->tracers);
  worker_free(&s->control);
  debugging_free(s->debugging);
  admin_free(s->admin);
  offload_stop();
  free(s->workers);
  siblings_free(s->siblings);
  return code;
}

int process_run(const struct server_options *options) {
  struct server s = {.options = options, .registry = registry_new(), .pid_file = {NULL, -1}};
  char *why = NULL;
  int code = EXIT_BAD_INPUT;
  log_set_thread("control");
  struct first_load first = {0};
  if (!options->print_config) starting_begin(options->source.name);
  inherited_before_policy();
  bool fine = load_first(&s, &first, &why) && (options->print_config || debugging_open(&s, &why));
  if (!fine) complain(why);
  log_set_level((enum log_level)config_number(options->config, CONFIG_log_level));
  if (fine && options->print_config) {
    config_print(options->config, stdout);
    code = EXIT_FINE;
  } else if (fine && become_daemon(&s, &code)) {
    s.started = s.reloaded = moment_now();
    s.worker_count = config_workers(options->config);
    s.metrics = metrics_new(s.worker_count);
    privileges_use_descriptors();
    ticks_calibrate();
    notify_init();
    handover_note_program();
    inherited_init(&s.ancestors);
    s.logs = logs_new(s.worker_count);
    bundle_serve(&s);
    code = open_loops(&s) ? run(&s, &first) : EXIT_FAILED;
    bundle_serve(NULL);
    logs_free(s.logs);
    metrics_free(s.metrics);
  }
  first_load_free(&first);
  tls_context_forget_clients();
  tls_identity_forget_all();
  registry_free(s.registry);
  memory_thread_end();
  return code;
}
