// SPDX-License-Identifier: Apache-2.0
// server: start, signals, stop. Runs in the process's first thread, which is the control worker's.
// A start is the first reload, with nothing in force before it.
#include "runtime/server.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/ticks.h"
#include "net/descriptors.h"
#include "proxy/borrow.h"
#include "runtime/admin.h"
#include "runtime/canary.h"
#include "runtime/changes.h"
#include "runtime/command.h"
#include "runtime/dryrun.h"
#include "runtime/environment.h"
#include "runtime/handover.h"
#include "runtime/loader.h"
#include "runtime/logs.h"
#include "runtime/notify.h"
#include "runtime/privileges.h"
#include "runtime/pulse.h"
#include "runtime/reload.h"
#include "runtime/signals.h"
#include "runtime/watch.h"
#include "shared/metrics.h"
#include "shared/registry.h"

/* --- notes from the workers -------------------------------------------------------------------------------
 */

static void post_note(struct server *s, void (*run)(struct message *message, void *receiver)) {
  struct message *note = memory_alloc(sizeof *note);
  note->run = run;
  mailbox_tell(&s->control.mailbox, note);
}

static struct server *server_of(void *receiver) { return ((struct worker *)receiver)->owner; }

static void count_ended(struct message *message, void *receiver) {
  struct server *s = server_of(receiver);
  free(message);
  if (--s->running == 0) ev_break(s->control.loop, EVBREAK_ALL);
}

static void on_watchdog(struct timer *timer) {
  notify_state("WATCHDOG=1");
  timer_set(timer, notify_watchdog_ms() / 2);
}

static void begin_to_serve(struct server *s) {
  pid_file_write(&s->pid_file);
  notify_ready();
  if (config_number(s->options->config, CONFIG_daemon)) privileges_detach();
  timer_init(&s->watchdog, s->control.loop, on_watchdog);
  if (notify_watchdog_ms()) timer_set(&s->watchdog, notify_watchdog_ms() / 2);
}

static void count_switched(struct message *message, void *receiver) {
  struct server *s = server_of(receiver);
  char text[1024];
  free(message);
  if (--s->switching > 0) return;
  s->reloaded_at = time(NULL);
  snprintf(text, sizeof text, "reloaded: generation %u is in force on %u workers\n%s", s->generation,
           s->worker_count, s->changes);
  if (s->generation == 1)
    begin_to_serve(s);
  else
    notify_reloaded(text);
  if (s->generation == 1)
    log_info("ready: %u workers, %s", s->worker_count, s->options->source.name);
  else
    log_about(LOG_INFO, str_of(text), "%.*s", (int)strcspn(text, "\n"), text);
  if (s->command) command_reload_ended(s->command, true, text);
  server_reload_queued(s);
}

/* Both in the worker's own thread. */
static void on_worker_ended(struct worker *worker) { post_note(worker->owner, count_ended); }
static void on_worker_switched(struct worker *worker) { post_note(worker->owner, count_switched); }

/* --- stop -------------------------------------------------------------------------------------------------
 */

/* What has not come to its end by now never will. */
static void abandon_trials(struct server *s) {
  static const char why[] = "the proxy is stopping\n";
  loader_abandon(s->loader);
  canary_free(s->canary);
  s->canary = NULL;
  dryrun_free(s->dryrun);
  s->dryrun = NULL;
  handover_free(s->handover);
  s->handover = NULL;
  if (!s->command) return;
  if (s->loader) command_reload_ended(s->command, false, why);
  command_canary_ended(s->command, false, why);
  command_shadow_ended(s->command, false, why);
  command_upgrade_ended(s->command, false, why);
}

/* A stop is waited for; the end after an upgrade is not, so it can do without closing under a client's hand. */
enum { STOP_PATIENCE_MS = 1000, UPGRADE_PATIENCE_MS = 10000 };

/* What a worker is still given to close all it has, once its grace is over. */
enum { OVERDUE_MS = 5000 };

/* A worker that does not come back to its loop, since a hook never ends, would keep the process for ever. */
static void on_overdue(struct timer *timer) {
  struct server *s = LIST_ENTRY(timer, struct server, overdue);
  log_error("%u workers do not come back to their loops: the process ends without them", s->running);
  if (!s->handed_over) listening_unlink(s->listening);
  if (s->command) command_hide(s->command);
  pid_file_close(&s->pid_file);
  _exit(EXIT_FAILED);
}

static void tell_workers(struct server *s, unsigned grace_ms) {
  unsigned patience_ms = s->handed_over ? UPGRADE_PATIENCE_MS : STOP_PATIENCE_MS;
  timer_set(&s->overdue, (uint64_t)grace_ms + OVERDUE_MS);
  for (unsigned i = 0; i < s->worker_count; i++) worker_stop(&s->workers[i], grace_ms, patience_ms);
}

static void stop_workers(struct server *s, unsigned grace_ms) {
  s->stopping = true;
  abandon_trials(s);
  pulse_quieten(s->pulse);
  lineage_stop(&s->lineage);
  if (!s->handed_over) notify_state("STOPPING=1");
  tell_workers(s, grace_ms);
}

/* What was to be an end after an upgrade, with all the time in the world, has become a stop. */
static void hasten(void *owner) {
  struct server *s = owner;
  unsigned grace_ms = config_number(s->options->config, CONFIG_grace);
  if (!s->handed_over || s->hastened) return;
  s->hastened = true;
  log_info("stopping with the process that serves, within %g s", grace_ms / 1000.0);
  tell_workers(s, grace_ms);
}

void server_stop(struct server *s, bool now) {
  unsigned grace_ms = now ? 0 : config_number(s->options->config, CONFIG_grace);
  if (s->running == 0) return;
  if (s->stopping && !now) {
    hasten(s);
    return;
  }
  if (now)
    log_info("stopping now");
  else
    log_info("stopping gracefully, within %g s", grace_ms / 1000.0);
  stop_workers(s, grace_ms);
}

/* --- upgrade ----------------------------------------------------------------------------------------------
 */

/* The successor is found under our name from now on; we only finish what we have. The service manager watches
 * it instead of us, and would take a STOPPING=1 for its end. */
void server_retire(struct server *s) {
  if (s->stopping) return;
  s->handed_over = true;
  unsigned grace_ms = config_number(s->options->config, CONFIG_upgrade_grace);
  log_info("draining, within %g s", grace_ms / 1000.0);
  if (s->command) command_hide(s->command);
  admin_stop(s->admin);
  timer_stop(&s->watchdog);
  lineage_follow(&s->lineage, s->control.loop, hasten, s);
  stop_workers(s, grace_ms);
}

static void on_upgrade_ended(struct server *s, pid_t successor, const char *why) {
  char text[512];
  snprintf(text, sizeof text, why ? "upgrade: %s\nthis process goes on\n" : "upgraded\n", why);
  handover_free(s->handover);
  s->handover = NULL;
  if (why) log_error("upgrade: %s; this process goes on", why);
  if (s->command) command_upgrade_ended(s->command, !why, text);
  if (why)
    server_reload_queued(s);
  else if (s->reload_again) /* it may have read the policy before that was asked for */
    kill(successor, SIGHUP);
  if (!why) server_retire(s);
}

bool server_upgrade(struct server *s, char **why) {
  const char *obstacle = s->switching ? NULL : server_obstacle(s);
  if (obstacle) {
    *why = str_to_cstring(str_of(obstacle));
    return false;
  }
  log_info("upgrade: starting a successor");
  unsigned timeout_ms = config_number(s->options->config, CONFIG_upgrade_timeout);
  s->handover = handover_start(s, s->options->arguments, timeout_ms, on_upgrade_ended, why);
  return s->handover != NULL;
}

/* --- the process ------------------------------------------------------------------------------------------
 */

static unsigned cores(void) {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? (unsigned)CPU_COUNT(&set) : 1;
}

static struct policy_host host_of(const struct server *s, unsigned worker) {
  return (struct policy_host){.registry = s->registry,
                              .metrics = s->metrics,
                              .worker = worker,
                              .workers = s->worker_count,
                              .is_control = worker == s->worker_count};
}

static void init_workers(struct server *s) {
  unsigned drain_ms = config_number(s->options->config, CONFIG_drain);
  bool low_latency = config_number(s->options->config, CONFIG_low_latency);
  struct policy_host host = host_of(s, s->worker_count);
  worker_init(&s->control, &host);
  s->control.owner = s;
  s->control.on_lost = emergency_ask;
  s->control.drain_ms = drain_ms;
  s->workers = memory_zalloc(s->worker_count * sizeof *s->workers);
  if (s->worker_count > 1) s->circle = circle_new(s->worker_count);
  for (unsigned i = 0; i < s->worker_count; i++) {
    host = host_of(s, i);
    worker_init(&s->workers[i], &host);
    s->workers[i].owner = s;
    s->workers[i].drain_ms = drain_ms;
    if (low_latency) coalesce_stop(&s->workers[i].proxy.coalesce);
    if (s->circle) circle_join(s->circle, &s->workers[i].proxy);
    s->workers[i].on_ended = on_worker_ended;
    s->workers[i].on_switched = on_worker_switched;
    s->workers[i].on_lost = emergency_ask;
  }
}

static bool open_admin(struct server *s, char **why) {
  const struct config *config = s->options->config;
  const char *address = config_text(config, CONFIG_admin);
  if (!address) return true;
  s->admin = admin_open(s, str_of(address), config_number(config, CONFIG_admin_public), why);
  return s->admin != NULL;
}

/* One that was asked for must be there; the other is not seen where there is no network namespace of ours. */
static bool open_command_socket(struct server *s, char **why) {
  const char *path = config_text(s->options->config, CONFIG_socket);
  s->command = command_listen(s, path, why);
  if (s->command || path) return s->command != NULL;
  log_warn("commands are not heard: %s", *why);
  free(*why);
  *why = NULL;
  return true;
}

static void serve(struct server *s) {
  for (unsigned i = 0; i < s->worker_count; i++) worker_start(&s->workers[i]);
  s->running = s->worker_count;
  timer_init(&s->overdue, s->control.loop, on_overdue);
  emergency_init(s);
  ev_run(s->control.loop, 0);
  timer_stop(&s->overdue);
  emergency_stop(s);
  for (unsigned i = 0; i < s->worker_count; i++) worker_join(&s->workers[i]);
}

/* Reads what the policy configures, which must be known before there are workers: loads it once, for that
 * alone. */
static bool read_config(const struct server_options *options, struct registry *registry, char **why) {
  struct policy_host host = {
      .registry = registry, .workers = 1, .worker = 1, .is_control = true, .config = options->config};
  struct instance *instance = instance_load(&options->source, &host, 0, why);
  instance_free(instance);
  memory_trim();
  return instance != NULL;
}

/* To who started us, in whichever way. Takes over `why`. */
static void complain(char *why) {
  fprintf(stderr, "perilune: %s\n", why);
  notify_failed(why);
  free(why);
}

static void serve_until_stopped(struct server *s) {
  serve(s);
  if (!s->handed_over) listening_unlink(s->listening);
  log_flush();
  log_info("stopped");
}

/* Who it is to serve as, with what it opened before: these go to that user. */
static bool become_user(struct server *s, char **why) {
  const struct config *config = s->options->config;
  const char *user = config_text(config, CONFIG_user);
  if (!pid_file_open(&s->pid_file, config_text(config, CONFIG_pid_file), user, why)) return false;
  privileges_give(config_text(config, CONFIG_socket), user);
  logs_give(s->logs, user);
  return privileges_drop(user, config_text(config, CONFIG_group), why);
}

/* All that can fail before the first connection. */
static bool start(struct server *s, char **why) {
  const struct config *config = s->options->config;
  init_workers(s);
  signals_watch(&s->signals, s);
  if (config_number(config, CONFIG_watch)) s->watch = watch_new(s, why);
  bool opened = !*why && logs_open_errors(s->logs, config_text(config, CONFIG_error_log), why);
  opened = opened && open_admin(s, why) && open_command_socket(s, why);
  struct generation *g = opened ? generation_load_now(s, why) : NULL;
  if (!g) return false;
  handover_drop_rest();
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

static int run(struct server *s) {
  char *why = NULL;
  bool fine = start(s, &why);
  if (fine) {
    s->pulse = pulse_start(s);
    descriptors_begin(s->worker_count);
    s->environment = environment_new();
    memory_drop_text();
    serve_until_stopped(s);
  } else {
    complain(why);
    for (unsigned i = 0; i < s->worker_count; i++) worker_free(&s->workers[i]);
  }
  pid_file_close(&s->pid_file);
  command_close(s->command);
  if (!loader_end(s->loader)) end_beside_loader(s);
  stamps_free(s->files);
  free(s->changes);
  lineage_free(&s->lineage);
  pulse_free(s->pulse);
  environment_free(s->environment);
  watch_free(s->watch);
  admin_stop(s->admin);
  listening_free(s->listening, false);
  worker_free(&s->control);
  admin_free(s->admin);
  free(s->workers);
  circle_free(s->circle);
  return fine ? EXIT_FINE : EXIT_BAD_INPUT;
}

int server_run(const struct server_options *options) {
  struct server s = {.options = options, .registry = registry_new(), .pid_file = {NULL, -1}};
  char *why = NULL;
  int code = EXIT_BAD_INPUT;
  log_set_thread("control");
  bool fine = read_config(options, s.registry, &why);
  if (!fine) complain(why);
  log_set_level((enum log_level)config_number(options->config, CONFIG_log_level));
  if (fine && options->print_config) {
    config_print(options->config, stdout);
    code = EXIT_FINE;
  } else if (fine && (!config_number(options->config, CONFIG_daemon) || privileges_daemonize(&code))) {
    unsigned workers = config_number(options->config, CONFIG_workers);
    s.started_at = s.reloaded_at = time(NULL);
    s.worker_count = workers ? workers : cores();
    s.metrics = metrics_new(s.worker_count);
    privileges_use_descriptors();
    ticks_calibrate();
    notify_init();
    handover_init(&s.lineage);
    s.logs = logs_new(s.worker_count);
    code = run(&s);
    logs_free(s.logs);
    metrics_free(s.metrics);
  }
  tls_context_forget_clients();
  tls_identity_forget_all();
  registry_free(s.registry);
  memory_thread_end();
  return code;
}
