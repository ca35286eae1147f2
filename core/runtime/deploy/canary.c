// SPDX-License-Identifier: Apache-2.0
// canary: asks the workers for their tallies twice a second, and judges. The hard problem is small numbers:
// a verdict against the canary needs enough exchanges, and a verdict for it needs the whole time. A worker that does
// not answer delays nothing: its last answer counts, and it is asked again when it has answered.
#include "runtime/deploy/canary.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/container.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/why.h"
#include "runtime/command.h"
#include "runtime/deploy/loader.h"
#include "runtime/deploy/reload.h"
#include "runtime/observe/logs.h"
#include "runtime/server.h"
#include "shared/registry.h"

enum { ASK_MS = 500, PROGRESS_MS = 5000, ENOUGH_EXCHANGES = 20, SLOWER_BY_MS = 20 };

struct canary {
  struct timer timer;
  struct server *server; /* borrowed */
  struct canary_options options;
  struct generation *generation;       /* owned until it is put in force or dropped */
  struct voice *voices;                /* owned array, one per worker */
  struct policy_tally in_force, tried; /* sums of what they said last */
  uint64_t ends_at_ms, told_ms;
  unsigned number; /* tells late answers to an earlier canary */
};

/* What one worker said last. */
struct voice {
  struct policy_tally in_force, tried;
  bool is_out; /* it was asked, and has not answered */
};

static unsigned canaries; /* so far */

static void judge(struct canary *c);

/* --- asking --------------------------------------------------------------------------------------------- */

struct tally_note {
  struct message message;
  unsigned worker, number;
  struct policy_tally in_force, tried;
};

static void add(struct policy_tally *sum, const struct policy_tally *part) {
  sum->exchanges += part->exchanges;
  sum->script_errors += part->script_errors;
  sum->server_errors += part->server_errors;
  sum->latency_us += part->latency_us;
}

static unsigned count_out(const struct canary *c) {
  unsigned count = 0;
  for (unsigned i = 0; i < c->server->worker_count; i++) count += c->voices[i].is_out;
  return count;
}

static void on_note(struct message *message, void *receiver) {
  const struct tally_note *note = (struct tally_note *)message;
  struct server *s = ((struct worker *)receiver)->owner;
  struct canary *c = s->canary;
  if (c && c->number == note->number) {
    CHECK(note->worker < s->worker_count);
    c->voices[note->worker] = (struct voice){note->in_force, note->tried, false};
    if (count_out(c) == 0) judge(c);
  }
  free(message);
}

/* In the worker's thread. */
static void on_tally(struct worker *worker, unsigned number, const struct policy_tally *in_force,
                     const struct policy_tally *tried) {
  struct server *s = worker->owner;
  struct tally_note *note = memory_alloc(sizeof *note);
  *note = (struct tally_note){{NULL, on_note}, worker->host.worker, number, *in_force, *tried};
  mailbox_tell(&s->control.mailbox, &note->message);
}

static void ask(struct canary *c) {
  timer_set(&c->timer, ASK_MS);
  for (unsigned i = 0; i < c->server->worker_count; i++) {
    if (c->voices[i].is_out) continue;
    c->voices[i].is_out = true;
    worker_tally(&c->server->workers[i], c->number);
  }
}

/* Where one has not answered since the last time, the others do not wait for it. */
static void on_due(struct timer *timer) {
  struct canary *c = CONTAINER_OF(timer, struct canary, timer);
  struct server *s = c->server;
  if (count_out(c)) judge(c);
  if (s->canary == c) ask(c);
}

/* --- judging -------------------------------------------------------------------------------------------- */

/* Of 10,000. */
static uint64_t share(uint64_t part, uint64_t whole) { return whole ? part * 10000 / whole : 0; }
static double mean_ms(const struct policy_tally *t) {
  return t->exchanges ? (double)t->latency_us / (double)t->exchanges / 1000 : 0;
}

/* The share that `part` of `whole` speaks for, at the least: the lower end of Wilson's interval of 2 standard
 * deviations. One error among the first twenty says little, two of twenty say a lot. Of 10,000. */
static double share_at_least(uint64_t part, uint64_t whole) {
  double n = (double)whole, p = (double)part / n, z2 = 4;
  return 10000 * (p + z2 / (2 * n) - sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n)))) / (1 + z2 / n);
}

static bool is_worse(uint64_t old, uint64_t old_whole, uint64_t new, uint64_t new_whole, unsigned allowed,
                     bool is_over) {
  uint64_t most = share(old, old_whole) + allowed;
  return is_over ? share(new, new_whole) > most : share_at_least(new, new_whole) > (double)most;
}

const char *canary_fault(const struct policy_tally *old, const struct policy_tally *new, unsigned max_errors,
                         bool is_over) {
  if (is_over && new->exchanges == 0) return "no request came to it, so nothing is known of it";
  if (!is_over && new->exchanges < ENOUGH_EXCHANGES) return NULL;
  if (is_worse(old->script_errors, old->exchanges, new->script_errors, new->exchanges, max_errors, is_over))
    return "more script errors";
  if (is_worse(old->server_errors, old->exchanges, new->server_errors, new->exchanges, max_errors, is_over))
    return "more answers of 500 and above";
  if (is_over && old->exchanges && mean_ms(new) > 2 * mean_ms(old) + SLOWER_BY_MS)
    return "more than twice as slow";
  return NULL;
}

static char *verdict(const struct canary *c, const char *fault) {
  const struct policy_tally *old = &c->in_force, *new = &c->tried;
  char *text = memory_alloc(512);
  snprintf(text, 512,
           "canary: %llu of %llu request%s; script errors %.2f %% (policy in force %.2f %%), 500 and above "
           "%.2f %% "
           "(%.2f %%), mean response time %.3f ms (%.3f ms): %s%s\n",
           (unsigned long long)new->exchanges, (unsigned long long)(new->exchanges + old->exchanges),
           plural(new->exchanges + old->exchanges), (double)share(new->script_errors, new->exchanges) / 100,
           (double)share(old->script_errors, old->exchanges) / 100,
           (double)share(new->server_errors, new->exchanges) / 100,
           (double)share(old->server_errors, old->exchanges) / 100, mean_ms(new), mean_ms(old),
           fault ? "rolled back, " : "goes on to 100 %", fault ? fault : "");
  return text;
}

static void tell_end(struct server *s, const struct canary_options *options, bool fine, const char *why) {
  if (options->on_end) options->on_end(s, fine, why);
}

static void end(struct canary *c, const char *fault) {
  struct server *s = c->server;
  char *text = verdict(c, fault);
  s->canary = NULL;
  if (fault) server_enter(s, PHASE_SERVING);
  if (fault) reload_log_note(&s->reload_log, s->generation, false, text);
  tell_end(s, &c->options, !fault, text);
  if (fault)
    log_about(LOG_WARN, str_of(text), "%.*s", (int)strcspn(text, "\n"), text);
  else
    log_about(LOG_INFO, str_of(text), "%.*s", (int)strcspn(text, "\n"), text);
  command_ended(s->command, WAITS_FOR_CANARY, !fault, text);
  if (fault) command_ended(s->command, WAITS_FOR_ABORT, true, text);
  if (!fault) {
    generation_put_in_force(s, c->generation);
    c->generation = NULL;
  }
  free(text);
  canary_free(c);
  if (fault) server_reload_queued(s);
}

void canary_abort(struct canary *c) { end(c, LOADER_ABORTED); }

/* Every few seconds. */
static void tell_progress(struct canary *c) {
  uint64_t now_ms = loop_now_ms(c->server->control.loop);
  const struct policy_tally *t = &c->tried;
  char text[192];
  if (!c->server->command || now_ms - c->told_ms < PROGRESS_MS) return;
  c->told_ms = now_ms;
  snprintf(text, sizeof text,
           "canary: %.0f s left; so far %llu request%s on trial, %llu script error%s, %llu answer%s of 500 "
           "and above",
           (double)(c->ends_at_ms - now_ms) / 1000, (unsigned long long)t->exchanges, plural(t->exchanges),
           (unsigned long long)t->script_errors, plural(t->script_errors),
           (unsigned long long)t->server_errors, plural(t->server_errors));
  command_trial_goes_on(c->server->command, text);
}

static void judge(struct canary *c) {
  c->in_force = c->tried = (struct policy_tally){0};
  for (unsigned i = 0; i < c->server->worker_count; i++) {
    add(&c->in_force, &c->voices[i].in_force);
    add(&c->tried, &c->voices[i].tried);
  }
  bool is_over = loop_now_ms(c->server->control.loop) >= c->ends_at_ms;
  const char *fault = canary_fault(&c->in_force, &c->tried, c->options.max_errors, is_over);
  if (fault || is_over) {
    end(c, fault);
    return;
  }
  tell_progress(c);
  timer_set(&c->timer, ASK_MS);
}

void canary_heed(struct worker *worker) { worker->on_tally = on_tally; }

/* --- life ----------------------------------------------------------------------------------------------- */

static void begin(struct server *s, struct generation *g, unsigned share_of_exchanges) {
  unsigned *order = generation_order(g);
  for (unsigned w = 0; w < s->worker_count; w++)
    worker_try(&s->workers[w], g->instances[w], order, g->listening->count, share_of_exchanges);
  free(order);
}

static void announce(struct server *s, const struct canary_options *options) {
  char text[160];
  log_info("canary: %.2f %% of the exchanges for %g s", options->share / 100.0, options->for_ms / 1000.0);
  snprintf(text, sizeof text,
           "canary: %.2f %% of the requests try the new policy for %g s (--for); then all or none",
           options->share / 100.0, options->for_ms / 1000.0);
  if (s->command) command_trial_goes_on(s->command, text);
}

static void put_on_trial(struct server *s, struct generation *g, const struct canary_options *options) {
  struct canary *c = memory_zalloc(sizeof *c);
  *c = (struct canary){.server = s, .options = *options, .generation = g, .number = ++canaries};
  c->voices = memory_zalloc(s->worker_count * sizeof *c->voices);
  server_enter(s, PHASE_CANARY);
  s->canary = c;
  logs_commit(s->logs);
  c->ends_at_ms = loop_now_ms(s->control.loop) + options->for_ms;
  c->told_ms = loop_now_ms(s->control.loop);
  announce(s, options);
  begin(s, g, options->share);
  timer_init(&c->timer, s->control.loop, on_due);
  timer_set(&c->timer, ASK_MS);
}

static void on_loaded(struct server *s, struct generation *g, const char *why, void *owner) {
  struct canary_options options = *(struct canary_options *)owner;
  free(owner);
  if (g && generation_keeps_listeners(s, g)) {
    put_on_trial(s, g, &options);
    return;
  }
  if (phase_is_over(s->phase)) return;
  server_enter(s, PHASE_SERVING);
  if (g) generation_free(g, s->worker_count);
  if (g) why = "a canary must listen where the policy in force does; reload without --canary";
  tell_end(s, &options, false, why);
  generation_refuse(s, "canary", why);
  server_reload_queued(s);
}

bool canary_start(struct server *s, const struct canary_options *options, char **why) {
  const char *obstacle = server_refusal(s, DEMAND_CANARY);
  if (obstacle) return why_say(why, "%s", obstacle);
  struct canary_options *copy = memory_alloc(sizeof *copy);
  *copy = *options;
  server_enter(s, PHASE_LOADING);
  if (generation_load(s, registry_stage(s->registry), on_loaded, copy, why)) return true;
  server_enter(s, PHASE_SERVING);
  free(copy);
  return false;
}

/* The workers own their instances from the start on; the control worker's waits here. */
void canary_free(struct canary *c) {
  if (!c) return;
  timer_stop(&c->timer);
  if (c->generation) {
    for (unsigned w = 0; w < c->server->worker_count; w++) worker_drop_canary(&c->server->workers[w]);
    for (unsigned w = 0; w < c->server->worker_count; w++) c->generation->instances[w] = NULL;
    generation_free(c->generation, c->server->worker_count);
  }
  free(c->voices);
  free(c);
}
