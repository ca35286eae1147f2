// SPDX-License-Identifier: Apache-2.0
// dryrun: loads a generation with a registry of its own, hands it to the workers as their shadow, and collects what they saw.
#include "runtime/dryrun.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/memory.h"
#include "runtime/command.h"
#include "runtime/reload.h"
#include "runtime/server.h"
#include "shared/registry.h"

struct dryrun {
  struct timer timer;
  struct server *server; /* borrowed */
  struct shadow_report sum;
  unsigned missing; /* reports of workers */
};

/* --- collecting ------------------------------------------------------------------------------------------- */

static char *text_of(const struct shadow_report *r) {
  char *text = NULL;
  size_t bytes;
  FILE *out = open_memstream(&text, &bytes);
  fprintf(out, "shadow: %llu requests compared, %llu decided otherwise\n", (unsigned long long)r->compared,
          (unsigned long long)r->differing);
  if (r->bodies)
    fprintf(
        out,
        "%llu requests were not compared: the new policy reads their bodies, of which a shadow has none\n",
        (unsigned long long)r->bodies);
  for (unsigned i = 0; i < r->sample_count; i++) fprintf(out, "  %s\n", r->samples[i]);
  if (r->address_count) fprintf(out, "peers asked, by the policy in force and by the new one:\n");
  for (unsigned i = 0; i < r->address_count; i++)
    fprintf(out, "  %-40s %10llu %10llu\n", r->addresses[i].address,
            (unsigned long long)r->addresses[i].in_force, (unsigned long long)r->addresses[i].tried);
  fclose(out);
  return text;
}

struct report_note {
  struct message message;
  struct shadow_report report;
};

static void on_note(struct message *message, void *receiver) {
  struct report_note *note = (struct report_note *)message;
  struct server *s = ((struct worker *)receiver)->owner;
  struct dryrun *d = s->dryrun;
  if (d) shadow_add(&d->sum, &note->report);
  free(note);
  if (!d || --d->missing > 0) return;
  char *text = text_of(&d->sum);
  log_about(LOG_INFO, str_of(text), "%.*s", (int)strcspn(text, "\n"), text);
  if (s->command) command_shadow_ended(s->command, true, text);
  free(text);
  s->dryrun = NULL;
  dryrun_free(d);
  server_reload_queued(s);
}

/* In the worker's thread. */
static void on_report(struct worker *worker, const struct shadow_report *report) {
  struct server *s = worker->owner;
  struct report_note *note = memory_alloc(sizeof *note);
  note->message.run = on_note;
  note->report = *report;
  mailbox_tell(&s->control.mailbox, &note->message);
}

static void on_due(struct timer *timer) {
  struct dryrun *d = LIST_ENTRY(timer, struct dryrun, timer);
  d->missing = d->server->worker_count;
  for (unsigned i = 0; i < d->server->worker_count; i++) worker_shadow(&d->server->workers[i], NULL, NULL, 0);
}

/* --- life ------------------------------------------------------------------------------------------------- */

static void begin(struct server *s, struct generation *g, unsigned for_ms) {
  unsigned *order = generation_order(g);
  struct dryrun *d = memory_zalloc(sizeof *d);
  d->server = s;
  s->dryrun = d;
  for (unsigned w = 0; w < s->worker_count; w++) {
    s->workers[w].on_report = on_report;
    worker_shadow(&s->workers[w], g->instances[w], order, g->listening->count);
    g->instances[w] = NULL;
  }
  free(order);
  generation_free(g, s->worker_count); /* the control worker's instance has no exchanges to look at */
  log_info("shadow: for %u s", for_ms / 1000);
  timer_init(&d->timer, s->control.loop, on_due);
  timer_set(&d->timer, for_ms);
}

static void refuse(struct server *s, const char *why) {
  char *text = NULL;
  log_about(LOG_ERROR, str_of(why), "shadow: %s", why);
  if (asprintf(&text, "%s\n", why) < 0) abort();
  if (s->command) command_load_refused(s->command, text);
  free(text);
  server_reload_queued(s);
}

static void on_loaded(struct server *s, struct generation *g, const char *why, void *owner) {
  unsigned for_ms = (unsigned)(uintptr_t)owner;
  if (g && generation_keeps_listeners(s, g)) {
    begin(s, g, for_ms);
    return;
  }
  if (s->stopping) return;
  if (g) generation_free(g, s->worker_count);
  refuse(s, g ? "a shadow must listen where the policy in force does" : why);
}

bool dryrun_start(struct server *s, unsigned for_ms, char **why) {
  const char *obstacle = server_obstacle(s);
  if (obstacle) {
    *why = str_to_cstring(str_of(obstacle));
    return false;
  }
  return generation_load(s, registry_new(), on_loaded, (void *)(uintptr_t)for_ms, why);
}

void dryrun_free(struct dryrun *d) {
  if (!d) return;
  timer_stop(&d->timer);
  free(d);
}
