// SPDX-License-Identifier: Apache-2.0
// status: the form for terminals: one function for each block of lines; what has not happened is left out.
#include "runtime/observe/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/date.h"
#include "base/log_throttle.h"
#include "base/ticks.h"
#include "base/version.h"
#include "exchange/account.h"
#include "exchange/hooks.h"
#include "runtime/deploy/switching.h"
#include "runtime/live/tracers.h"
#include "runtime/observe/backends_report.h"
#include "runtime/observe/bundle_report.h"
#include "runtime/observe/discovery_report.h"
#include "runtime/observe/heartbeat.h"
#include "runtime/observe/caches.h"
#include "runtime/observe/limits.h"
#include "runtime/observe/logs.h"
#include "runtime/observe/sums.h"
#include "runtime/observe/tracing_report.h"
#include "runtime/server.h"
#include "runtime/steer/log_level.h"
#include "shared/metrics.h"

typedef unsigned long long number;

enum { GRAPH_SECONDS = 60, RELOADS_SHOWN = 5 };

/* --- the process ---------------------------------------------------------------------------------------- */

static void put_age(FILE *out, struct moment since) {
  long seconds = (long)moment_age_s(since);
  fprintf(out, "%ldd %02ld:%02ld:%02ld", seconds / 86400, seconds / 3600 % 24, seconds / 60 % 60,
          seconds % 60);
}

static const char *trial_of(const struct server *s) {
  if (s->canary) return "; a canary is tried";
  if (s->dryrun) return "; another policy is tried in the shadow";
  return s->handover ? "; an upgrade is under way" : "";
}

static void put_older(FILE *out, const struct tally *t) {
  number old = cell_get(&t->old_exchanges);
  if (old)
    fprintf(out,
            "older       generations are still in use by %llu exchange%s; 'perilune reload --close-old' "
            "closes them\n",
            old, plural(old));
}

/* Those that have not come to the generation in force, and those that do not come back to their loops. */
static void put_behind(FILE *out, const struct server *s) {
  char who[512];
  switching_describe(s, who, sizeof who);
  unsigned behind = switching_behind(s);
  if (*who) fprintf(out, "behind      %u worker%s; %s\n", behind, plural(behind), who);
}

static void put_background(FILE *out, const struct server *s) {
  number count = background_sum(s);
  if (count)
    fprintf(out, "background  %llu run%s of after, every and spawn under way\n", count, plural(count));
}

static void put_listener(FILE *out, const struct listening_entry *entry) {
  if (entry->fault)
    fprintf(out, "listening   %s (TLS), closes all connections: %s\n", entry->address, entry->fault);
  else
    fprintf(out, "listening   %s%s\n", entry->address, entry->tls ? " (TLS)" : "");
}

static void put_process(FILE *out, const struct server *s, const struct tally *tally) {
  fprintf(out, "perilune " PERILUNE_VERSION ", process %d, up ", (int)getpid());
  put_age(out, s->started);
  fprintf(out, "\npolicy      %s\ngeneration  %u, in force for ", s->options->source.name, s->generation);
  put_age(out, s->reloaded);
  fprintf(out, "%s\n", trial_of(s));
  put_older(out, tally);
  put_behind(out, s);
  put_background(out, s);
  fprintf(out, "workers     %u%s\n", s->worker_count, phase_is_over(s->phase) ? ", stopping" : "");
  for (unsigned i = 0; s->listening && i < s->listening->count; i++)
    put_listener(out, &s->listening->entries[i]);
}

/* --- requests ------------------------------------------------------------------------------------------- */

/* Requests of the last minute, a column for each second. */
static void put_graph(FILE *out, const struct heartbeat *heartbeat) {
  static const char *const bars[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  unsigned most = 0;
  for (unsigned age = 0; age < GRAPH_SECONDS; age++)
    if (heartbeat_second(heartbeat, age)->requests > most) most = heartbeat_second(heartbeat, age)->requests;
  fprintf(out, "last minute ");
  for (unsigned age = GRAPH_SECONDS; age-- > 0 && most;)
    fputs(bars[((uint64_t)heartbeat_second(heartbeat, age)->requests * 8 + most - 1) / most], out);
  fprintf(out, "%s%u/s at most\n", most ? "  " : "", most);
}

static void put_statuses(FILE *out, const struct traffic *t) {
  uint64_t classes[TRAFFIC_STATUSES / 100] = {0}, all = 0;
  for (unsigned i = 0; i < TRAFFIC_STATUSES; i++) {
    classes[i / 100] += cell_get(&t->statuses[i]);
    all += cell_get(&t->statuses[i]);
  }
  fprintf(out, "requests    %llu in all", (number)all);
  for (unsigned i = 1; i < TRAFFIC_STATUSES / 100; i++)
    if (classes[i]) fprintf(out, ", %uxx %llu", i, (number)classes[i]);
  if (classes[0]) fprintf(out, ", without an answer %llu", (number)classes[0]);
  fputc('\n', out);
}

static void put_quantiles(FILE *out, const char *name, const struct histogram *h) {
  static const struct {
    const char *name;
    double q;
  } shown[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p99.9", 0.999}};
  if (!histogram_count(h)) return;
  fprintf(out, "%-12s", name);
  for (int i = 0; i < 4; i++)
    fprintf(out, "%s%s %.2f ms", i ? ", " : "", shown[i].name,
            (double)histogram_quantile(h, shown[i].q) / 1e3);
  fputc('\n', out);
}

/* Where connections were as many as they may be. */
static void put_shortage(FILE *out, number refused, number given_up, number pauses) {
  if (refused || given_up || pauses)
    fprintf(out,
            "full        %llu connection%s refused (one client had too many), %llu idle one%s closed to make "
            "room, "
            "accepting paused %llu time%s\n",
            refused, plural(refused), given_up, plural(given_up), pauses, plural(pauses));
}

static void put_requests(FILE *out, const struct server *s, const struct tally *tally) {
  struct traffic traffic, all;
  struct str name;
  memset((void *)&all, 0, sizeof all);
  for (unsigned i = 0; metrics_listener(s->metrics, i, &name, &traffic); i++) traffic_merge(&all, &traffic);
  fputc('\n', out);
  put_statuses(out, &all);
  number connections = cell_get(&tally->downstreams);
  fprintf(out, "now         %u/s, %llu under way, %llu client connection%s\n",
          heartbeat_second(s->heartbeat, 0)->requests, (number)cell_get(&tally->exchanges), connections,
          plural(connections));
  fprintf(out, "bytes       %.1f KiB received, %.1f KiB sent\n", (double)cell_get(&all.received) / 1024,
          (double)cell_get(&all.sent) / 1024);
  put_shortage(out, cell_get(&all.refused), cell_get(&tally->given_up), cell_get(&tally->accept_pauses));
  put_graph(out, s->heartbeat);
  put_quantiles(out, "latency", &all.duration);
}

static void put_stuck(FILE *out, const struct server *s, unsigned index) {
  char doing[320];
  int helper = s->lending.helpers[index];
  if (!heartbeat_is_away(s->heartbeat, index)) return;
  bool is_policy = switching_describe_worker(s, index, doing, sizeof doing);
  fprintf(out, "            STUCK: worker %u %s", index, doing);
  if (helper >= 0) fprintf(out, "; worker %d accepts connections for it", helper);
  fprintf(out, "\n%s", is_policy ? "            " SWITCHING_ADVICE "\n" : "");
}

static void put_workers(FILE *out, const struct server *s) {
  fputc('\n', out);
  for (unsigned i = 0; i < s->worker_count; i++) {
    const struct tally *t = metrics_tally(s->metrics, i);
    number connections = cell_get(&t->downstreams);
    fprintf(out, "worker %-4u %llu connection%s, %llu under way, Lua memory %.1f KiB, loop delay %.2f ms\n",
            i, connections, plural(connections), (number)cell_get(&t->exchanges),
            (double)cell_get(&t->vm_bytes) / 1024, (double)cell_get(&t->lag) / 1e3);
    if (cell_get(&t->lacks_vm))
      fputs("            its VM was given up: it answers 500 until the policy is loaded again\n", out);
    put_stuck(out, s, i);
  }
}

/* --- peers ---------------------------------------------------------------------------------------------- */

static void put_peers(FILE *out, const struct tally *t) {
  uint64_t opened = cell_get(&t->upstream_opened), reused = cell_get(&t->upstream_reused);
  if (opened + reused == 0) return;
  number open = cell_get(&t->upstreams), retries = cell_get(&t->retries);
  fprintf(
      out,
      "\npeers       %llu connection%s open, %llu of them idle; reused %.2f %% of the time; %llu retr%s\n",
      open, plural(open), (number)cell_get(&t->upstreams_idle),
      100.0 * (double)reused / (double)(opened + reused), retries, retries == 1 ? "y" : "ies");
  put_quantiles(out, "connect", &t->connect);
  put_quantiles(out, "first byte", &t->first_byte);
}

static void put_backend(const struct backend_report *b, void *out) {
  fprintf(out, "backend     %-28.*s %-10s %u request%s in flight, set \"%.*s\"", STR_ARG(b->address),
          backend_report_state(b), b->in_flight, plural(b->in_flight), STR_ARG(b->set));
  if (b->weight != b->given_weight) fprintf(out, ", weight %u instead of %u", b->weight, b->given_weight);
  fputc('\n', out);
}

static void put_names(FILE *out, const struct server *s) {
  struct names_sum sum = names_sum(s);
  if (sum.lookups)
    fprintf(out,
            "names       %llu looked up, %llu of them from memory, %llu question%s to name servers, %llu "
            "unanswered\n",
            (number)sum.lookups, (number)sum.kept, (number)sum.questions, plural(sum.questions),
            (number)sum.failures);
}

static void put_limit(const struct limits_entry *limit, void *out) {
  fprintf(out, "limit       %-28.*s %-11s room for %u key%s, %.1f MiB, overflowed %llu time%s\n",
          STR_ARG(limit->name), limit->kind, limit->keys, plural(limit->keys), (double)limit->bytes / 1048576,
          (number)limit->overflowed, plural(limit->overflowed));
}

static void put_failures(FILE *out, const struct tally *t) {
  for (enum error error = ERROR_NONE + 1; error < ERROR_COUNT; error++)
    if (cell_get(&t->failures[error]))
      fprintf(out, "failed      %llu: %s\n", (number)cell_get(&t->failures[error]), error_info(error)->text);
}

/* --- the policy ----------------------------------------------------------------------------------------- */

static void put_hook(FILE *out, enum hook hook, const struct hook_tally *t) {
  fprintf(out, "hook        %-30s %10llu call%s, mean %.1f us, slowest %.2f ms, %llu error%s\n",
          hook_name(hook), (number)cell_get(&t->calls), plural(cell_get(&t->calls)), hook_mean_us(t),
          (double)ticks_to_us(cell_get(&t->slowest)) / 1e3, (number)cell_get(&t->errors),
          plural(cell_get(&t->errors)));
}

/* The slowest first. */
static void put_hooks(FILE *out, const struct tally *t) {
  bool shown[HOOK_COUNT] = {false};
  for (;;) {
    int slowest = -1;
    for (int hook = 0; hook < HOOK_COUNT; hook++) {
      if (shown[hook] || !cell_get(&t->hooks[hook].calls)) continue;
      if (slowest < 0 || hook_mean_us(&t->hooks[hook]) > hook_mean_us(&t->hooks[slowest])) slowest = hook;
    }
    if (slowest < 0) return;
    shown[slowest] = true;
    put_hook(out, (enum hook)slowest, &t->hooks[slowest]);
  }
}

static void put_log(const char *target, uint64_t dropped, void *out) {
  if (dropped) fprintf(out, "log         %s: %llu line%s lost\n", target, (number)dropped, plural(dropped));
}

static void put_troubles(FILE *out, const struct server *s) {
  number throttled = log_throttle_total(), given_up = vms_given_up_sum(s);
  char level[160];
  if (*steer_log_level_describe(s, level, sizeof level)) fprintf(out, "log         level %s\n", level);
  if (throttled)
    fprintf(out, "log         %llu line%s of the error log counted instead of written, because they repeat\n",
            throttled, plural(throttled));
  if (given_up)
    fprintf(out, "Lua         %llu VM%s given up, and the policy loaded again each time\n", given_up,
            plural(given_up));
}

static void put_reloads(FILE *out, const struct reload_log *reload_log) {
  const struct reload_log_entry *entry;
  for (unsigned i = 0; i < RELOADS_SHOWN && (entry = reload_log_entry(reload_log, i)); i++) {
    struct str when = date_text(DATE_LOG, entry->at);
    fprintf(out, "%s%.*s  %s%s\n", i ? "            " : "\nreloads     ", STR_ARG(when),
            entry->fine ? "" : "refused: ", entry->text);
  }
}

static void put_live_traces(FILE *out, const struct server *s) {
  struct tracers_figures figures = tracers_figures(s->tracers);
  if (figures.under_way)
    fprintf(out, "looking on  %u run%s of 'perilune trace'; %llu requests shown, %llu lost\n",
            figures.under_way, plural(figures.under_way), (number)figures.sent, (number)figures.lost);
}

char *status_text(const struct server *s) {
  char *text = NULL;
  size_t bytes;
  struct tally tally;
  FILE *out = open_memstream(&text, &bytes);
  metrics_sum(s->metrics, &tally);
  put_process(out, s, &tally);
  put_requests(out, s, &tally);
  put_workers(out, s);
  put_peers(out, &tally);
  put_names(out, s);
  backends_report_read(s->registry, put_backend, out);
  discovery_put_text(out, s->registry);
  caches_put_text(out, s->registry);
  limits_read(s->registry, put_limit, out);
  tracing_report_put_text(out, s->registry);
  put_live_traces(out, s);
  bundle_put_text(out);
  put_failures(out, &tally);
  put_hooks(out, &tally);
  logs_dropped(s->logs, put_log, out);
  put_troubles(out, s);
  put_reloads(out, &s->reload_log);
  fclose(out);
  return text;
}

/* --- in one line ------------------------------------------------------------------------------------------ */

enum { MOST_SHOWN = 4 };

static void put_rough_age(FILE *out, struct moment since) {
  static const struct {
    long seconds;
    const char *unit;
  } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
  long age = (long)moment_age_s(since);
  int i = 0;
  while (i < 3 && age < 2 * units[i].seconds) i++;
  fprintf(out, ", up %ld %s", age / units[i].seconds, units[i].unit);
}

static void put_first_listeners(FILE *out, const struct listening *l) {
  unsigned count = l ? l->count : 0;
  for (unsigned i = 0; i < count && i < MOST_SHOWN; i++)
    fprintf(out, "%s%s", i ? ", " : " on ", l->entries[i].address);
  if (count > MOST_SHOWN) fprintf(out, " and %u more", count - MOST_SHOWN);
}

char *status_summary(const struct server *s) {
  const char *pid_file = config_text(s->options->config, CONFIG_pid_file);
  char *text = NULL;
  size_t bytes;
  FILE *out = open_memstream(&text, &bytes);
  fputs(s->options->source.name, out);
  put_first_listeners(out, s->listening);
  put_rough_age(out, s->started);
  if (phase_is_over(s->phase)) fputs(", stopping", out);
  if (pid_file) fprintf(out, ", pid file %s", pid_file);
  fputc('\n', out);
  fclose(out);
  return text;
}
