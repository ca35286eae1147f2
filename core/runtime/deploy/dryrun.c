// SPDX-License-Identifier: Apache-2.0
// dryrun: loads a generation with a separate registry, passes it to the workers as their shadow, and collects the
// results.
#include "runtime/deploy/dryrun.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/container.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/why.h"
#include "runtime/command.h"
#include "runtime/deploy/loader.h"
#include "runtime/deploy/reload.h"
#include "runtime/deploy/switching.h"
#include "runtime/server.h"
#include "shared/registry.h"

struct dryrun {
  struct timer timer;
  struct server *server; /* borrowed */
  struct shadow_report sum;
  uint64_t ends_at_ms;
  unsigned missing; /* reports of workers, once they are asked */
  unsigned number;  /* tells late reports of an earlier shadow */
  bool aborted;
};

enum { PROGRESS_MS = 5000, REPORT_MS = 2000 }; /* a worker that has not reported by then is stuck */

static unsigned shadows; /* so far */

/* --- collecting ------------------------------------------------------------------------------------------- */

static char *text_of(const struct dryrun *d) {
  const struct shadow_report *r = &d->sum;
  char *text = NULL;
  size_t bytes;
  FILE *out = open_memstream(&text, &bytes);
  fprintf(out, "shadow: %llu request%s compared, %llu decided otherwise%s\n", (unsigned long long)r->compared,
          plural(r->compared), (unsigned long long)r->differing, d->aborted ? "; " LOADER_ABORTED : "");
  if (!r->compared && !d->aborted) fputs("no request was compared: nothing was tested\n", out);
  if (r->bodies)
    fprintf(
        out,
        "%llu requests were not compared: the new policy reads their bodies, of which a shadow has none\n",
        (unsigned long long)r->bodies);
  if (d->missing) {
    char who[256];
    switching_describe(d->server, who, sizeof who);
    fprintf(out, "  without the reports of %u of %u workers: %s\n", d->missing, d->server->worker_count, who);
  }
  for (unsigned i = 0; i < r->sample_count; i++) fprintf(out, "  %s\n", r->samples[i]);
  if (r->address_count) fprintf(out, "peers asked, by the policy in force and by the new one:\n");
  for (unsigned i = 0; i < r->address_count; i++)
    fprintf(out, "  %-40s %10llu %10llu\n", r->addresses[i].address,
            (unsigned long long)r->addresses[i].in_force, (unsigned long long)r->addresses[i].tried);
  fclose(out);
  return text;
}

static void end(struct dryrun *d) {
  struct server *s = d->server;
  char *text = text_of(d);
  log_about(LOG_INFO, str_of(text), "%.*s", (int)strcspn(text, "\n"), text);
  s->dryrun = NULL;
  server_enter(s, PHASE_SERVING);
  command_ended(s->command, WAITS_FOR_SHADOW, !d->aborted && d->sum.compared > 0, text);
  command_ended(s->command, WAITS_FOR_ABORT, true, text);
  free(text);
  dryrun_free(d);
  server_reload_queued(s);
}

struct report_note {
  struct message message;
  unsigned number;
  struct shadow_report report;
};

static void on_note(struct message *message, void *receiver) {
  struct report_note *note = (struct report_note *)message;
  struct server *s = ((struct worker *)receiver)->owner;
  struct dryrun *d = s->dryrun;
  bool is_wanted = d && d->missing && d->number == note->number;
  if (is_wanted) shadow_add(&d->sum, &note->report);
  free(note);
  if (is_wanted && --d->missing == 0) end(d);
}

/* In the worker's thread. */
static void on_report(struct worker *worker, unsigned number, const struct shadow_report *report) {
  struct server *s = worker->owner;
  struct report_note *note = memory_alloc(sizeof *note);
  *note = (struct report_note){{NULL, on_note}, number, *report};
  mailbox_tell(&s->control.mailbox, &note->message);
}

/* The next look: at the end, or when there is progress to tell. */
static void go_on(struct dryrun *d, uint64_t left_ms) {
  timer_set(&d->timer, left_ms < PROGRESS_MS ? left_ms : PROGRESS_MS);
}

static bool is_to_go_on(struct dryrun *d) {
  uint64_t now_ms = loop_now_ms(d->server->control.loop);
  char text[64];
  if (now_ms >= d->ends_at_ms) return false;
  snprintf(text, sizeof text, "shadow: %.0f s left", (double)(d->ends_at_ms - now_ms) / 1000);
  if (d->server->command) command_trial_goes_on(d->server->command, text);
  go_on(d, d->ends_at_ms - now_ms);
  return true;
}

/* No more copies: each worker reports. */
static void collect(struct dryrun *d) {
  d->missing = d->server->worker_count;
  timer_set(&d->timer, REPORT_MS);
  for (unsigned i = 0; i < d->server->worker_count; i++) worker_end_shadow(&d->server->workers[i], d->number);
}

static void on_due(struct timer *timer) {
  struct dryrun *d = CONTAINER_OF(timer, struct dryrun, timer);
  if (d->missing) {
    end(d);
    return;
  }
  if (!is_to_go_on(d)) collect(d);
}

void dryrun_abort(struct dryrun *d) {
  d->aborted = true;
  if (!d->missing) collect(d);
}

/* --- life ------------------------------------------------------------------------------------------------- */

static void announce(struct server *s, unsigned for_ms) {
  char text[128];
  log_info("shadow: for %g s", for_ms / 1000.0);
  snprintf(text, sizeof text, "shadow: the new policy sees copies of request heads for %g s (--for)",
           for_ms / 1000.0);
  if (s->command) command_trial_goes_on(s->command, text);
}

void dryrun_heed(struct worker *worker) { worker->on_report = on_report; }

static void begin(struct server *s, struct generation *g, unsigned for_ms) {
  unsigned *order = generation_order(g);
  struct dryrun *d = memory_zalloc(sizeof *d);
  d->server = s;
  d->number = ++shadows;
  server_enter(s, PHASE_SHADOW);
  s->dryrun = d;
  for (unsigned w = 0; w < s->worker_count; w++) {
    worker_shadow(&s->workers[w], g->instances[w], order, g->listening->count);
    g->instances[w] = NULL;
  }
  free(order);
  generation_free(g, s->worker_count); /* the control worker's instance has no exchanges to look at */
  announce(s, for_ms);
  d->ends_at_ms = loop_now_ms(s->control.loop) + for_ms;
  timer_init(&d->timer, s->control.loop, on_due);
  go_on(d, for_ms);
}

static void on_loaded(struct server *s, struct generation *g, const char *why, void *owner) {
  unsigned for_ms = (unsigned)(uintptr_t)owner;
  if (g && generation_keeps_listeners(s, g)) {
    begin(s, g, for_ms);
    return;
  }
  if (phase_is_over(s->phase)) return;
  server_enter(s, PHASE_SERVING);
  if (g) generation_free(g, s->worker_count);
  generation_refuse(s, "shadow", g ? "a shadow must listen where the policy in force does" : why);
  server_reload_queued(s);
}

bool dryrun_start(struct server *s, unsigned for_ms, char **why) {
  const char *obstacle = server_refusal(s, DEMAND_SHADOW);
  if (obstacle) return why_say(why, "%s", obstacle);
  server_enter(s, PHASE_LOADING);
  if (generation_load(s, registry_new(), on_loaded, (void *)(uintptr_t)for_ms, why)) return true;
  server_enter(s, PHASE_SERVING);
  return false;
}

void dryrun_free(struct dryrun *d) {
  if (!d) return;
  timer_stop(&d->timer);
  free(d);
}
