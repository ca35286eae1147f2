// SPDX-License-Identifier: Apache-2.0
// switching: an array and a timer. The workers' reports are messages, which may arrive late, and may be about a
// generation that is no longer the newest.
#include "runtime/deploy/switching.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/container.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/why.h"
#include "runtime/command.h"
#include "runtime/deploy/emergency.h"
#include "runtime/notify.h"
#include "runtime/observe/heartbeat.h"
#include "runtime/server.h"

enum { NAMED_MOST = 4, TEXT_BYTES = 1024 };

static void on_limit(struct timer *timer);

void switching_init(struct switching *sw, struct server *s) {
  timer_init(&sw->timer, s->control.loop, on_limit);
  sw->reached = memory_zalloc(s->worker_count * sizeof *sw->reached);
}

void switching_free(struct switching *sw) {
  timer_stop(&sw->timer);
  free(sw->reached);
}

unsigned switching_behind(const struct server *s) {
  unsigned count = 0;
  for (unsigned i = 0; i < s->worker_count; i++) count += s->switching.reached[i] != s->generation;
  return count;
}

/* --- outcome ---------------------------------------------------------------------------------------------- */

static bool is_slow(const struct server *s, unsigned worker) {
  return s->switching.reached[worker] != s->generation || heartbeat_is_silent(s->heartbeat, worker);
}

/* What its policy is at, if that is what keeps it. */
bool switching_describe_worker(const struct server *s, unsigned index, char *text, size_t bytes) {
  int length = snprintf(text, bytes, "is ");
  worker_doing(&s->workers[index], text + length, bytes - (size_t)length);
  if (text[length]) return true;
  heartbeat_describe(s->heartbeat, index, text, bytes);
  return false;
}

void switching_describe(const struct server *s, char *text, size_t bytes) {
  unsigned named = 0, more = 0;
  size_t at = 0;
  text[0] = '\0';
  for (unsigned i = 0; i < s->worker_count; i++) {
    char doing[320];
    if (!is_slow(s, i)) continue;
    if (named == NAMED_MOST) {
      more++;
      continue;
    }
    switching_describe_worker(s, i, doing, sizeof doing);
    at += (size_t)snprintf(text + at, bytes - at, "%sworker %u %s", named++ ? "; " : "", i, doing);
    if (at >= bytes) return;
  }
  if (more) snprintf(text + at, bytes - at, "; and %u more", more);
}

static void tell(struct server *s, bool fine, const char *text) {
  int length = (int)strcspn(text, "\n");
  notify_reloaded(text);
  if (fine)
    log_about(LOG_INFO, str_of(text), "%.*s", length, text);
  else
    log_about(LOG_WARN, str_of(text), "%.*s", length, text);
  command_ended(s->command, WAITS_FOR_RELOAD, fine, text);
}

/* The phase may be another by now: an upgrade does not wait for the workers. */
static void conclude(struct server *s, bool fine, const char *text) {
  timer_clear(&s->switching.timer);
  s->switching.awaited = false;
  s->reloaded = moment_now();
  if (s->generation == 1 && fine)
    server_begin_to_serve(s);
  else
    tell(s, fine, text);
  if (s->phase != PHASE_SWITCHING) return;
  server_enter(s, PHASE_SERVING);
  server_reload_queued(s);
}

static void all_have_switched(struct server *s) {
  char *text = why_text("reloaded: generation %u is in force on %u worker%s\n%s", s->generation,
                        s->worker_count, plural(s->worker_count), s->changes);
  conclude(s, true, text);
  free(text);
}

static void on_limit(struct timer *timer) {
  struct server *s = CONTAINER_OF(timer, struct server, switching.timer);
  char text[TEXT_BYTES], who[TEXT_BYTES / 2];
  unsigned behind = switching_behind(s);
  CHECK(s->switching.awaited && behind);
  switching_describe(s, who, sizeof who);
  if (s->generation == 1) { /* a start is complete, or none */
    log_warn("not all workers serve yet; %s", who);
    switching_begin(s);
    return;
  }
  snprintf(
      text, sizeof text,
      "generation %u is in force on %u of %u worker%s after %g s (reload_timeout); %s; those that are behind "
      "follow when they come back to their loops\n",
      s->generation, s->worker_count - behind, s->worker_count, plural(s->worker_count),
      config_number(s->options->config, CONFIG_reload_timeout) / 1000.0, who);
  conclude(s, false, text);
}

void switching_begin(struct server *s) {
  s->switching.awaited = true;
  timer_set(&s->switching.timer, config_number(s->options->config, CONFIG_reload_timeout));
}

void switching_abandon(struct server *s) {
  timer_stop(&s->switching.timer);
  s->switching.awaited = false;
}

/* --- reports ---------------------------------------------------------------------------------------------- */

struct report {
  struct message message;
  unsigned worker, generation;
};

static void on_report(struct message *message, void *receiver) {
  const struct report *report = (struct report *)message;
  struct server *s = ((struct worker *)receiver)->owner;
  CHECK(report->worker < s->worker_count && report->generation <= s->generation);
  s->switching.reached[report->worker] = report->generation;
  if (switching_behind(s) == 0 && s->switching.awaited)
    all_have_switched(s);
  else if (!s->switching.awaited && report->generation == s->generation && !phase_is_over(s->phase))
    log_info("worker %u has come to generation %u, too", report->worker, report->generation);
  free(message);
}

void switching_report(struct worker *worker) {
  struct server *s = worker->owner;
  struct report *report = memory_alloc(sizeof *report);
  *report = (struct report){{NULL, on_report}, worker->host.worker, worker->instance->generation};
  mailbox_tell(&s->control.mailbox, &report->message);
}
