// SPDX-License-Identifier: Apache-2.0
// server: start, signals, stop. Runs in the process's first thread, which is the control worker's.
// A start is the first reload, with nothing in force before it.
#include "runtime/server.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/ticks.h"
#include "proxy/borrow.h"
#include "runtime/admin.h"
#include "runtime/canary.h"
#include "runtime/command.h"
#include "runtime/dryrun.h"
#include "runtime/handover.h"
#include "runtime/logs.h"
#include "runtime/notify.h"
#include "runtime/privileges.h"
#include "runtime/pulse.h"
#include "runtime/reload.h"
#include "runtime/watch.h"
#include "shared/metrics.h"
#include "shared/registry.h"

/* --- notes from the workers -------------------------------------------------------------------------------
 */

static void post_note(struct server *s, void (*run)(struct message *message, void *receiver)) {
  struct message *note = memory_alloc(sizeof *note);
  note->run = run;
  mailbox_post(&s->control.mailbox, note);
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
  notify_ready();
  if (config_number(s->options->config, CONFIG_daemon)) privileges_detach();
  timer_init(&s->watchdog, s->control.loop, on_watchdog);
  if (notify_watchdog_ms()) timer_set(&s->watchdog, notify_watchdog_ms() / 2);
}

static void count_switched(struct message *message, void *receiver) {
  struct server *s = server_of(receiver);
  char text[128];
  free(message);
  if (--s->switching > 0) return;
  s->reloaded_at = time(NULL);
  snprintf(text, sizeof text, "reloaded: generation %u is in force on %u workers\n", s->generation,
           s->worker_count);
  if (s->generation == 1) begin_to_serve(s);
  if (s->generation == 1)
    log_info("ready: %u workers, %s", s->worker_count, s->options->source.name);
  else
    log_info("%.*s", (int)strcspn(text, "\n"), text);
  if (s->command) command_reload_ended(s->command, true, text);
  if (!s->reload_again) return;
  s->reload_again = false;
  server_request_reload(s);
}

/* Both in the worker's own thread. */
static void on_worker_ended(struct worker *worker) { post_note(worker->owner, count_ended); }
static void on_worker_switched(struct worker *worker) { post_note(worker->owner, count_switched); }

/* --- stop -------------------------------------------------------------------------------------------------
 */

static void stop_workers(struct server *s, unsigned grace_ms) {
  s->stopping = true;
  canary_free(s->canary);
  s->canary = NULL;
  dryrun_free(s->dryrun);
  s->dryrun = NULL;
  pulse_quieten(s->pulse);
  notify_state("STOPPING=1");
  for (unsigned i = 0; i < s->worker_count; i++) worker_stop(&s->workers[i], grace_ms, s->handed_over);
}

void server_stop(struct server *s, bool now) {
  if (s->running == 0 || (s->stopping && !now)) return;
  unsigned grace_ms = now ? 0 : config_number(s->options->config, CONFIG_grace);
  if (now)
    log_info("stopping now");
  else
    log_info("stopping gracefully, within %g s", grace_ms / 1000.0);
  stop_workers(s, grace_ms);
}

/* --- upgrade ----------------------------------------------------------------------------------------------
 */

/* The successor is found under our name from now on; we only finish what we have. */
static void retire(struct server *s) {
  if (s->stopping) return;
  s->handed_over = true;
  unsigned grace_ms = config_number(s->options->config, CONFIG_upgrade_grace);
  log_info("draining, within %g s", grace_ms / 1000.0);
  if (s->command) command_hide(s->command);
  admin_stop(s->admin);
  stop_workers(s, grace_ms);
}

static void on_upgrade_ended(struct server *s, const char *why) {
  char text[256];
  snprintf(text, sizeof text, "%s%s\n", why ? "upgrade: " : "upgraded", why ? why : "");
  handover_free(s->handover);
  s->handover = NULL;
  if (why) log_error("upgrade: %s; this process goes on", why);
  if (s->command) command_upgrade_ended(s->command, !why, text);
  if (!why) retire(s);
}

bool server_upgrade(struct server *s, char **why) {
  if (s->stopping || s->handover) {
    *why =
        str_to_cstring(s->stopping ? STR("the proxy is stopping") : STR("an upgrade is under way already"));
    return false;
  }
  log_info("upgrade: starting a successor");
  s->handover = handover_start(s, s->options->arguments, on_upgrade_ended, why);
  return s->handover != NULL;
}

/* Log files were renamed. */
static void on_usr1(struct ev_loop *loop, ev_signal *watcher, int events) {
  struct server *s = watcher->data;
  (void)loop, (void)events;
  logs_reopen(s->logs);
  log_info("logs are opened anew");
}

static void on_usr2(struct ev_loop *loop, ev_signal *watcher, int events) {
  char *why = NULL;
  (void)loop, (void)events;
  if (!server_upgrade(watcher->data, &why)) log_error("upgrade: %s", why);
  free(why);
}

/* For a successor that was started by somebody else. */
static void on_quit(struct ev_loop *loop, ev_signal *watcher, int events) {
  (void)loop, (void)events;
  retire(watcher->data);
}

/* --- signals ----------------------------------------------------------------------------------------------
 */

static void on_term(struct ev_loop *loop, ev_signal *watcher, int events) {
  (void)loop, (void)events;
  server_stop(watcher->data, false);
}

static void on_int(struct ev_loop *loop, ev_signal *watcher, int events) {
  (void)events;
  ev_signal_stop(loop, watcher);
  server_stop(watcher->data, true);
}

static void on_hup(struct ev_loop *loop, ev_signal *watcher, int events) {
  (void)loop, (void)events;
  server_request_reload(watcher->data);
}

static void watch_signal(struct server *s, ev_signal *watcher, int signal,
                         void (*on_signal)(struct ev_loop *, ev_signal *, int)) {
  ev_signal_init(watcher, on_signal, signal);
  watcher->data = s;
  ev_signal_start(s->control.loop, watcher);
}

static void watch_signals(struct server *s) {
  signal(SIGPIPE, SIG_IGN);
  watch_signal(s, &s->on_term, SIGTERM, on_term);
  watch_signal(s, &s->on_int, SIGINT, on_int);
  watch_signal(s, &s->on_hup, SIGHUP, on_hup);
  watch_signal(s, &s->on_usr1, SIGUSR1, on_usr1);
  watch_signal(s, &s->on_usr2, SIGUSR2, on_usr2);
  watch_signal(s, &s->on_quit, SIGQUIT, on_quit);
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
  struct policy_host host = host_of(s, s->worker_count);
  worker_init(&s->control, &host);
  s->control.owner = s;
  s->workers = memory_zalloc(s->worker_count * sizeof *s->workers);
  if (s->worker_count > 1) s->circle = circle_new(s->worker_count);
  for (unsigned i = 0; i < s->worker_count; i++) {
    host = host_of(s, i);
    worker_init(&s->workers[i], &host);
    s->workers[i].owner = s;
    if (s->circle) circle_join(s->circle, &s->workers[i].proxy);
    s->workers[i].on_ended = on_worker_ended;
    s->workers[i].on_switched = on_worker_switched;
  }
}

static bool open_admin(struct server *s, char **why) {
  const struct config *config = s->options->config;
  const char *address = config_text(config, CONFIG_admin);
  if (!address) return true;
  s->admin = admin_open(s, str_of(address), config_number(config, CONFIG_admin_public), why);
  return s->admin != NULL;
}

static void open_command_socket(struct server *s) {
  char *why = NULL;
  s->command = command_listen(s, config_text(s->options->config, CONFIG_socket), &why);
  if (!s->command) log_warn("commands are not heard: %s", why);
  free(why);
}

static void write_pid_file(const char *path) {
  FILE *file = path ? fopen(path, "w") : NULL;
  if (file) fprintf(file, "%d\n", (int)getpid());
  if (path && (!file || fclose(file) != 0))
    log_error("cannot write the pid file %s: %s", path, strerror(errno));
}

/* Only if it is still ours: a successor may have written its own. */
static void remove_pid_file(const char *path) {
  int pid = 0;
  FILE *file = path ? fopen(path, "r") : NULL;
  if (!file) return;
  if (fscanf(file, "%d", &pid) == 1 && pid == (int)getpid()) unlink(path);
  fclose(file);
}

static void serve(struct server *s) {
  for (unsigned i = 0; i < s->worker_count; i++) worker_start(&s->workers[i]);
  s->running = s->worker_count;
  ev_run(s->control.loop, 0);
  for (unsigned i = 0; i < s->worker_count; i++) worker_join(&s->workers[i]);
}

/* Reads what the policy configures, which must be known before there are workers: loads it once, for that
 * alone. */
static bool read_config(const struct server_options *options, struct registry *registry, char **why) {
  struct worker probe = {0};
  struct policy_host host = {
      .registry = registry, .workers = 1, .worker = 1, .is_control = true, .config = options->config};
  worker_init(&probe, &host);
  struct instance *instance = instance_load(&options->source, &probe.host, 0, why);
  instance_free(instance);
  worker_free(&probe);
  return instance != NULL;
}

static void serve_until_stopped(struct server *s) {
  open_command_socket(s);
  serve(s);
  remove_pid_file(config_text(s->options->config, CONFIG_pid_file));
  if (!s->handed_over) listening_unlink(s->listening);
  handover_free(s->handover);
  command_close(s->command);
  log_info("stopped");
}

/* All that can fail before the first connection. */
static bool start(struct server *s, char **why) {
  const struct config *config = s->options->config;
  init_workers(s);
  watch_signals(s);
  if (config_number(config, CONFIG_watch)) s->watch = watch_new(s, why);
  bool opened = !*why && logs_open_errors(s->logs, config_text(config, CONFIG_error_log), why);
  struct generation *g = opened && open_admin(s, why) ? generation_load(s, why) : NULL;
  if (!g) return false;
  handover_drop_rest();
  write_pid_file(config_text(config, CONFIG_pid_file));
  privileges_give(config_text(config, CONFIG_pid_file), config_text(config, CONFIG_user));
  logs_give(s->logs, config_text(config, CONFIG_user));
  bool fine = privileges_drop(config_text(config, CONFIG_user), config_text(config, CONFIG_group), why);
  if (fine) {
    generation_put_in_force(s, g);
  } else {
    generation_free(g, s->worker_count);
    remove_pid_file(config_text(config, CONFIG_pid_file));
  }
  return fine;
}

static int run(struct server *s) {
  char *why = NULL;
  bool fine = start(s, &why);
  if (fine) {
    s->pulse = pulse_start(s);
    serve_until_stopped(s);
  } else {
    fprintf(stderr, "perilune: %s\n", why);
    free(why);
    for (unsigned i = 0; i < s->worker_count; i++) worker_free(&s->workers[i]);
  }
  pulse_free(s->pulse);
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
  struct server s = {.options = options, .registry = registry_new()};
  char *why = NULL;
  int code = EXIT_BAD_INPUT;
  log_set_thread("control");
  bool fine = read_config(options, s.registry, &why);
  if (!fine) fprintf(stderr, "perilune: %s\n", why);
  free(why);
  log_set_level((enum log_level)config_number(options->config, CONFIG_log_level));
  if (fine && options->print_config) {
    config_print(options->config, stdout);
    code = EXIT_FINE;
  } else if (fine && (!config_number(options->config, CONFIG_daemon) || privileges_daemonize(&code))) {
    unsigned workers = config_number(options->config, CONFIG_workers);
    s.started_at = s.reloaded_at = time(NULL);
    s.worker_count = workers ? workers : cores();
    s.metrics = metrics_new(s.worker_count);
    ticks_calibrate();
    notify_init();
    handover_init();
    s.logs = logs_new(s.worker_count);
    code = run(&s);
    logs_free(s.logs);
    metrics_free(s.metrics);
  }
  if (s.shadow_registry) registry_free(s.shadow_registry);
  registry_free(s.registry);
  memory_thread_end();
  return code;
}

/* --- check ------------------------------------------------------------------------------------------------
 */

static bool check_policy(const struct policy_source *source, const struct policy_host *host, char **why) {
  unsigned count;
  struct instance *instance = instance_load(source, host, 1, why);
  if (!instance) return false;
  const struct policy_listener *said = source->kind->listeners(instance->policy, &count);
  const char *admin = config_text(host->config, CONFIG_admin);
  bool fine = !admin || admin_check(str_of(admin), config_number(host->config, CONFIG_admin_public), why);
  for (unsigned i = 0; i < count && fine; i++) fine = listening_check(&said[i], why);
  instance_free(instance);
  return fine;
}

int server_check(const struct policy_source *source, struct config *config) {
  struct worker worker = {0};
  struct registry *registry = registry_new();
  struct policy_host host = {
      .registry = registry, .worker = 1, .workers = 1, .is_control = true, .config = config};
  char *why = NULL;
  worker_init(&worker, &host);
  bool fine = check_policy(source, &worker.host, &why);
  if (!fine) fprintf(stderr, "perilune: %s\n", why);
  free(why);
  worker_free(&worker);
  registry_free(registry);
  memory_thread_end();
  return fine ? EXIT_FINE : EXIT_BAD_INPUT;
}
