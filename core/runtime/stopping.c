// SPDX-License-Identifier: Apache-2.0
// stopping: a stop, and the end after an upgrade. Each worker ends after its current requests; then the control
// worker ends, after its background work. All of this must happen within the grace period; workers that are still
// blocked then are left behind.
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/container.h"
#include "base/log.h"
#include "base/memory.h"
#include "runtime/command.h"
#include "runtime/deploy/canary.h"
#include "runtime/deploy/dryrun.h"
#include "runtime/deploy/handover.h"
#include "runtime/deploy/loader.h"
#include "runtime/deploy/switching.h"
#include "runtime/notify.h"
#include "runtime/observe/admin.h"
#include "runtime/observe/heartbeat.h"
#include "runtime/server.h"

/* A stop is waited for; the end after an upgrade is not, so it can do without closing under a client's hand. */
enum { STOP_PATIENCE_MS = 1000, UPGRADE_PATIENCE_MS = 10000 };

/* What a worker is still given to close all it has, once its grace is over. */
enum { OVERDUE_MS = 5000 };

/* --- the workers have ended --------------------------------------------------------------------------------- */

static void end_if_done(struct server *s) {
  bool waits = s->control.proxy.background_count && s->phase != PHASE_ENDING;
  if (s->running == 0 && !waits && !s->ancestors.are_awaited) ev_break(s->control.loop, EVBREAK_ALL);
}

static void on_ancestors_gone(void *owner) { end_if_done(owner); }

static void count_ended(struct message *message, void *receiver) {
  struct server *s = ((struct worker *)receiver)->owner;
  free(message);
  s->running--;
  end_if_done(s);
}

void server_worker_ended(struct worker *worker) {
  struct server *s = worker->owner;
  struct message *note = memory_alloc(sizeof *note);
  note->run = count_ended;
  atomic_fetch_add(&s->signals.ended, 1);
  mailbox_tell(&s->control.mailbox, note);
}

static void on_control_idle(struct proxy *proxy) { end_if_done(((struct worker *)proxy->owner)->owner); }

static void on_control_grace(struct timer *timer) {
  struct worker *control = CONTAINER_OF(timer, struct worker, grace);
  CHECK_OBJ(control, WORKER_MAGIC);
  control->ends_at_once = ((struct server *)control->owner)->phase == PHASE_ENDING;
  worker_cut_background(control);
  end_if_done(control->owner);
}

/* A worker that does not come back to its loop, since a hook never ends, would keep the process for ever. */
static void on_overdue(struct timer *timer) {
  struct server *s = CONTAINER_OF(timer, struct server, overdue);
  if (s->running == 0) {
    log_error("an older process, which an upgrade has left, does not end in time: this one ends before it");
    ev_break(s->control.loop, EVBREAK_ALL);
    return;
  }
  log_error("%u worker%s not come back to the loop: the process ends without %s", s->running,
            s->running == 1 ? " does" : "s do", s->running == 1 ? "it" : "them");
  server_leave(s);
}

static void each_file(struct server *s, void (*act)(struct socket_file *file)) {
  for (unsigned i = 0; s->listening && i < s->listening->count; i++) act(&s->listening->entries[i].file);
  if (s->command) act(command_file(s->command));
  if (s->admin) act(admin_file(s->admin));
}

void server_adopt_files(struct server *s) { each_file(s, socket_file_adopt); }
void server_hand_over_files(struct server *s) { each_file(s, socket_file_hand_over); }
void server_remove_files(struct server *s) { each_file(s, socket_file_remove); }

/* Threads are left behind on purpose; a sanitizer that watches _exit would call that a leak. */
void server_leave(struct server *s) {
  server_remove_files(s);
  pid_file_close(&s->pid_file);
  syscall(SYS_exit_group, EXIT_FAILED);
  _exit(EXIT_FAILED);
}

void server_prepare_end(struct server *s) {
  timer_init(&s->overdue, s->control.loop, on_overdue);
  timer_init(&s->control.grace, s->control.loop, on_control_grace);
  s->control.proxy.on_background_end = on_control_idle;
}

/* --- stop ---------------------------------------------------------------------------------------------------- */

/* What has not come to its end by now never will. */
static void abandon_trials(struct server *s) {
  const char *why = s->phase == PHASE_RETIRING ? "a successor serves, which has loaded the policy anew\n"
                                               : "the proxy is stopping\n";
  switching_abandon(s);
  loader_abandon(s->loader);
  canary_free(s->canary);
  s->canary = NULL;
  dryrun_free(s->dryrun);
  s->dryrun = NULL;
  handover_free(s->handover);
  s->handover = NULL;
  for (enum waits_for what = WAITS_FOR_RELOAD; what <= WAITS_FOR_UPGRADE; what++)
    command_ended(s->command, what, false, why);
}

static void tell_workers(struct server *s, unsigned grace_ms) {
  struct worker_end end = {grace_ms, grace_ms, STOP_PATIENCE_MS, s->handed_over};
  unsigned drain_ms = config_number(s->options->config, CONFIG_drain);
  if (s->handed_over) end.patience_ms = UPGRADE_PATIENCE_MS;
  if (s->phase == PHASE_RETIRING && drain_ms < grace_ms) end.background_ms = drain_ms;
  timer_set(&s->overdue, (uint64_t)grace_ms + OVERDUE_MS);
  for (unsigned i = 0; i < s->worker_count; i++) worker_stop(&s->workers[i], &end);
  worker_wind_down(&s->control, end.background_ms);
  timer_set(&s->control.grace, end.background_ms);
}

static void stop_workers(struct server *s, unsigned grace_ms) {
  abandon_trials(s);
  heartbeat_quieten(s->heartbeat);
  if (!s->handed_over) notify_state("STOPPING=1");
  tell_workers(s, grace_ms);
}

const char *server_stop(struct server *s, bool now) {
  unsigned grace_ms = now ? 0 : config_number(s->options->config, CONFIG_grace);
  const char *why = server_refusal(s, now ? DEMAND_STOP_NOW : DEMAND_STOP);
  bool was_over = phase_is_over(s->phase);
  if (why) return why;
  server_enter(s, now ? PHASE_ENDING : PHASE_STOPPING);
  if (now)
    log_info("stopping now");
  else if (was_over)
    log_info("stopping with the process that serves, within %g s", grace_ms / 1000.0);
  else
    log_info("stopping gracefully, within %g s", grace_ms / 1000.0);
  ancestors_stop(&s->ancestors, s->control.loop, now, on_ancestors_gone, s);
  if (was_over)
    tell_workers(s, grace_ms);
  else
    stop_workers(s, grace_ms);
  end_if_done(s);
  return NULL;
}

/* What was to be an end after an upgrade, with all the time in the world, has become a stop. */
static void hasten(void *owner, bool now) { server_stop(owner, now); }

/* The successor is found under our name from now on; we only finish what we have. The service manager watches
 * it instead of us, and would take a STOPPING=1 for its end. */
const char *server_retire(struct server *s) {
  unsigned grace_ms = config_number(s->options->config, CONFIG_upgrade_grace);
  const char *why = server_refusal(s, DEMAND_RETIRE);
  if (why) return why;
  server_enter(s, PHASE_RETIRING);
  s->handed_over = true;
  log_info("draining, within %g s", grace_ms / 1000.0);
  if (s->command) command_hide(s->command);
  admin_stop(s->admin);
  timer_stop(&s->watchdog);
  ancestors_follow(&s->ancestors, s->control.loop, hasten, s);
  stop_workers(s, grace_ms);
  return NULL;
}
