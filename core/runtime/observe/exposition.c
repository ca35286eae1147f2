// SPDX-License-Identifier: Apache-2.0
// exposition: one function for each group of metrics, in the order in which they are written. The lines of a
// metric must be together, so for metrics by listener the listeners are visited once per metric.
#include "runtime/observe/exposition.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/escape.h"
#include "base/log_throttle.h"
#include "base/memory.h"
#include "base/ticks.h"
#include "base/version.h"
#include "exchange/account.h"
#include "exchange/hooks.h"
#include "http/h2_session.h"
#include "runtime/observe/heartbeat.h"
#include "runtime/observe/caches.h"
#include "runtime/observe/limits.h"
#include "runtime/observe/logs.h"
#include "runtime/observe/sums.h"
#include "runtime/server.h"
#include "shared/census.h"
#include "shared/metrics.h"

typedef unsigned long long number;

/* Buckets that are shown end at powers of two: 64 us to 67 s. */
enum { SHOWN_FIRST = 6, SHOWN_LAST = 26 };

/* --- lines ---------------------------------------------------------------------------------------------- */

#define put_family   exposition_put_family
#define put_single   exposition_put_single
#define put_labelled exposition_put_labelled

void exposition_put_family(FILE *out, const char *name, const char *type, const char *help) {
  fprintf(out, "# HELP perilune_%s %s\n# TYPE perilune_%s %s\n", name, help, name, type);
}

void exposition_put_label(FILE *out, const char *name, struct str value) {
  size_t room = ESCAPE_LABEL_MOST * value.len;
  char *escaped = memory_alloc(room);
  size_t length = escape_label(escaped, room, value);
  fprintf(out, "%s=\"%.*s\"", name, (int)length, escaped);
  free(escaped);
}

void exposition_put_single(FILE *out, const char *name, const char *type, const char *help, number value) {
  put_family(out, name, type, help);
  fprintf(out, "perilune_%s %llu\n", name, value);
}

void exposition_put_labelled(FILE *out, const char *name, const char *label, struct str value, number count) {
  fprintf(out, "perilune_%s{", name);
  exposition_put_label(out, label, value);
  fprintf(out, "} %llu\n", count);
}

/* `label` is NULL or the name of a label with `value`. */
static void put_histogram(FILE *out, const char *name, const char *label, struct str value,
                          const struct histogram *h) {
  number seen = 0;
  unsigned bucket = 0;
  for (unsigned power = SHOWN_FIRST; power <= SHOWN_LAST; power++) {
    for (; bucket < histogram_bucket(1ull << power); bucket++) seen += cell_get(&h->buckets[bucket]);
    fprintf(out, "perilune_%s_bucket{", name);
    if (label) exposition_put_label(out, label, value);
    fprintf(out, "%sle=\"%g\"} %llu\n", label ? "," : "", (double)(1ull << power) / 1e6, seen);
  }
  number count = histogram_count(h);
  const char *parts[] = {"bucket", "count", "sum"};
  for (int i = 0; i < 3; i++) {
    fprintf(out, "perilune_%s_%s", name, parts[i]);
    if (label || i == 0) fputc('{', out);
    if (label) exposition_put_label(out, label, value);
    if (i == 0) fprintf(out, "%sle=\"+Inf\"", label ? "," : "");
    if (label || i == 0) fputc('}', out);
    if (i == 2)
      fprintf(out, " %.6f\n", (double)cell_get(&h->sum) / 1e6);
    else
      fprintf(out, " %llu\n", count);
  }
}

/* --- the process ---------------------------------------------------------------------------------------- */

static double seconds_of(struct timeval t) { return (double)t.tv_sec + (double)t.tv_usec / 1e6; }

static void put_process(FILE *out, const struct server *s) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  put_family(out, "build_info", "gauge", "Always 1; the label says the version of the program.");
  fprintf(out, "perilune_build_info{version=\"" PERILUNE_VERSION "\"} 1\n");
  put_single(out, "start_time_seconds", "gauge", "When the process began, in Unix time.",
             (number)s->started.date);
  put_family(out, "cpu_seconds_total", "counter", "Processor time used, of user and system.");
  fprintf(out, "perilune_cpu_seconds_total %.3f\n", seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime));
  put_single(out, "workers", "gauge", "Workers that serve requests.", s->worker_count);
  put_single(out, "stopping", "gauge", "1 while the process drains.", phase_is_over(s->phase));
  put_single(out, "generation", "gauge", "The generation of the policy that is in force.", s->generation);
  put_single(out, "generation_time_seconds", "gauge",
             "When the generation in force came into force, in Unix time.", (number)s->reloaded.date);
  put_family(out, "reloads_total", "counter",
             "Policies that were loaded: fine, in force (the first included); failed, refused.");
  put_labelled(out, "reloads_total", "result", STR("fine"), s->reload_log.fine);
  put_labelled(out, "reloads_total", "result", STR("failed"), s->reload_log.failed);
}

/* --- clients -------------------------------------------------------------------------------------------- */

static void put_requests(FILE *out, struct str name, const struct traffic *t) {
  for (unsigned i = 0; i < TRAFFIC_STATUSES; i++) {
    number count = cell_get(&t->statuses[i]);
    if (!count) continue;
    fputs("perilune_requests_total{", out);
    exposition_put_label(out, "listener", name);
    fprintf(out, ",status=\"%u\"} %llu\n", i, count);
  }
}
static void put_duration(FILE *out, struct str name, const struct traffic *t) {
  put_histogram(out, "request_duration_seconds", "listener", name, &t->duration);
}
static void put_received(FILE *out, struct str name, const struct traffic *t) {
  put_labelled(out, "request_bytes_total", "listener", name, cell_get(&t->received));
}
static void put_sent(FILE *out, struct str name, const struct traffic *t) {
  put_labelled(out, "response_bytes_total", "listener", name, cell_get(&t->sent));
}
static void put_accepted(FILE *out, struct str name, const struct traffic *t) {
  put_labelled(out, "connections_accepted_total", "listener", name, cell_get(&t->accepted));
}

static void put_refused(FILE *out, struct str name, const struct traffic *t) {
  put_labelled(out, "connections_refused_total", "listener", name, cell_get(&t->refused));
}

/* Of excess always, so that an alert has something to compare with. */
static void put_http2_faults(FILE *out, struct str name, const struct traffic *t) {
  for (unsigned code = 0; code < TRAFFIC_HTTP2_CODES; code++) {
    number count = cell_get(&t->http2_faults[code]);
    if (!count && code != H2_ENHANCE_YOUR_CALM) continue;
    fputs("perilune_http2_faults_total{", out);
    exposition_put_label(out, "listener", name);
    fprintf(out, ",code=\"%s\"} %llu\n", code ? h2_code_name(code) : "other", count);
  }
}

static const struct {
  const char *name, *type, *help;
  void (*put)(FILE *out, struct str name, const struct traffic *traffic);
} of_listeners[] = {
    {"connections_accepted_total", "counter", "Client connections that were accepted.", put_accepted},
    {"connections_refused_total", "counter",
     "Client connections that were closed at once, because their client had too many.", put_refused},
    {"http2_faults_total", "counter",
     "Client connections of HTTP/2 that were ended for a fault of the client, by the code that it was told.",
     put_http2_faults},
    {"requests_total", "counter", "Requests that have ended, by the status of their answer; 0: no answer.",
     put_requests},
    {"request_duration_seconds", "histogram",
     "Time from a request's head to the end of its response, without tunnels.", put_duration},
    {"request_bytes_total", "counter", "Bytes of requests, heads and bodies.", put_received},
    {"response_bytes_total", "counter", "Bytes of responses, heads and bodies.", put_sent},
};

static void put_listeners(FILE *out, const struct server *s) {
  for (size_t i = 0; i < sizeof of_listeners / sizeof *of_listeners; i++) {
    struct traffic traffic;
    struct str name;
    put_family(out, of_listeners[i].name, of_listeners[i].type, of_listeners[i].help);
    for (unsigned k = 0; metrics_listener(s->metrics, k, &name, &traffic); k++)
      of_listeners[i].put(out, name, &traffic);
  }
  put_family(out, "connections_open", "gauge", "Client connections of the listener that are open.");
  struct traffic traffic;
  struct str name;
  for (unsigned k = 0; metrics_listener(s->metrics, k, &name, &traffic); k++)
    put_labelled(out, "connections_open", "listener", name,
                 census_count(metrics_listener_census(s->metrics, k)));
}

/* --- peers ---------------------------------------------------------------------------------------------- */

static void put_failures(FILE *out, const struct tally *t) {
  put_family(out, "failures_total", "counter",
             "Attempts and requests that failed, retried or not, by kind and by the side at fault.");
  for (enum error error = ERROR_NONE + 1; error < ERROR_COUNT; error++) {
    const struct error_info *info = error_info(error);
    fprintf(out, "perilune_failures_total{kind=\"%s\",side=\"%s\"} %llu\n", info->name,
            error_side_name(info->side), (number)cell_get(&t->failures[error]));
  }
}

static void put_reuse_ratio(FILE *out, const struct tally *t) {
  double reused = (double)cell_get(&t->upstream_reused), opened = (double)cell_get(&t->upstream_opened);
  put_family(
      out, "upstream_reuse_ratio", "gauge",
      "Share of the attempts at a peer since the start that used an idle connection; 1 before the first.");
  fprintf(out, "perilune_upstream_reuse_ratio %.6f\n", reused + opened > 0 ? reused / (reused + opened) : 1);
}

static void put_peers(FILE *out, const struct tally *t) {
  put_single(out, "connections", "gauge", "Client connections that are open.", cell_get(&t->downstreams));
  put_single(out, "accept_pauses_total", "counter",
             "Times that accepting stopped because there was no room for a client.",
             cell_get(&t->accept_pauses));
  put_single(out, "connections_given_up_total", "counter",
             "Idle client connections that were closed to make room for others.", cell_get(&t->given_up));
  put_single(out, "requests_active", "gauge", "Requests under way.", cell_get(&t->exchanges));
  put_single(out, "upstream_connections", "gauge", "Connections to peers that are open.",
             cell_get(&t->upstreams));
  put_single(out, "upstream_connections_idle", "gauge", "Connections to peers that are open and idle.",
             cell_get(&t->upstreams_idle));
  put_single(out, "upstream_http2_connections", "gauge", "Connections to peers that speak HTTP/2.",
             cell_get(&t->upstreams_http2));
  put_single(out, "upstream_http2_streams", "gauge", "Requests under way on connections that speak HTTP/2.",
             cell_get(&t->upstream_streams));
  put_single(out, "upstream_opened_total", "counter", "New connections to peers that were tried.",
             cell_get(&t->upstream_opened));
  put_single(out, "upstream_reused_total", "counter", "Attempts at a peer that used an idle connection.",
             cell_get(&t->upstream_reused));
  put_single(out, "upstream_borrowed_total", "counter",
             "Attempts at a peer that used an idle connection of another worker.",
             cell_get(&t->upstream_borrowed));
  put_single(out, "upstream_late_total", "counter",
             "Questions to another worker for an idle connection that it did not answer in time.",
             cell_get(&t->upstream_late));
  put_reuse_ratio(out, t);
  put_single(out, "retries_total", "counter", "Attempts at a peer after one that failed.",
             cell_get(&t->retries));
  put_single(out, "hedges_total", "counter", "Attempts at a peer beside one that was slow to answer.",
             cell_get(&t->hedges));
  put_single(out, "hedges_lost_total", "counter",
             "Attempts beside a slow one that came too late: the slow one answered first.",
             cell_get(&t->hedges_lost));
  put_family(out, "upstream_connect_seconds", "histogram",
             "Time to make a new connection to a peer, TLS included.");
  put_histogram(out, "upstream_connect_seconds", NULL, (struct str){0}, &t->connect);
  put_family(out, "upstream_first_byte_seconds", "histogram",
             "Time from sending a request to a peer to the head of its response.");
  put_histogram(out, "upstream_first_byte_seconds", NULL, (struct str){0}, &t->first_byte);
  put_failures(out, t);
}

static void put_names(FILE *out, const struct server *s) {
  struct names_sum sum = names_sum(s);
  put_single(out, "names_total", "counter", "Names that were looked up.", sum.lookups);
  put_single(out, "names_kept_total", "counter", "Names that were answered from memory, within their time.",
             sum.kept);
  put_single(out, "names_stale_total", "counter",
             "Names that were answered from memory beyond their time, because no name server answered.",
             sum.stale);
  put_single(out, "name_questions_total", "counter", "Questions sent to name servers.", sum.questions);
  put_single(out, "name_failures_total", "counter", "Questions to name servers without an answer.",
             sum.failures);
  put_single(out, "name_servers_silent", "gauge", "Name servers that do not answer at the moment.",
             sum.silent);
}

static void put_limit(FILE *out, const char *metric, const struct limits_entry *limit, number value) {
  fprintf(out, "perilune_%s{", metric);
  exposition_put_label(out, "limit", limit->name);
  fprintf(out, ",kind=\"%s\"} %llu\n", limit->kind, value);
}

static void put_limit_keys(const struct limits_entry *limit, void *out) {
  put_limit(out, "limit_keys", limit, limit->keys);
}
static void put_limit_bytes(const struct limits_entry *limit, void *out) {
  put_limit(out, "limit_bytes", limit, limit->bytes);
}
static void put_limit_overflowed(const struct limits_entry *limit, void *out) {
  put_limit(out, "limit_overflowed_total", limit, limit->overflowed);
}

static void put_limits(FILE *out, const struct server *s) {
  put_family(out, "limit_keys", "gauge", "How many keys a limit of the policy has room for.");
  limits_read(s->registry, put_limit_keys, out);
  put_family(out, "limit_bytes", "gauge", "Memory of the table of a limit of the policy.");
  limits_read(s->registry, put_limit_bytes, out);
  put_family(
      out, "limit_overflowed_total", "counter",
      "Times that a limit had no room for a key: a count was forgotten, or a new key was not counted.");
  limits_read(s->registry, put_limit_overflowed, out);
}

/* --- the policy ----------------------------------------------------------------------------------------- */

static void put_hooks(FILE *out, const struct tally *t) {
  put_family(out, "hook_calls_total", "counter", "Calls of a hook that have ended.");
  for (enum hook hook = 0; hook < HOOK_COUNT; hook++)
    if (cell_get(&t->hooks[hook].calls))
      put_labelled(out, "hook_calls_total", "hook", str_of(hook_name(hook)), cell_get(&t->hooks[hook].calls));
  put_family(out, "hook_errors_total", "counter",
             "Calls of a hook that raised an error or had a wrong result.");
  for (enum hook hook = 0; hook < HOOK_COUNT; hook++)
    if (cell_get(&t->hooks[hook].calls))
      put_labelled(out, "hook_errors_total", "hook", str_of(hook_name(hook)),
                   cell_get(&t->hooks[hook].errors));
  put_family(out, "hook_seconds_total", "counter", "Time in a hook, waiting included.");
  for (enum hook hook = 0; hook < HOOK_COUNT; hook++)
    if (cell_get(&t->hooks[hook].calls))
      fprintf(out, "perilune_hook_seconds_total{hook=\"%s\"} %.6f\n", hook_name(hook),
              (double)ticks_to_us(cell_get(&t->hooks[hook].ticks)) / 1e6);
}

static void put_worker(FILE *out, const char *metric, unsigned worker, number value) {
  fprintf(out, "perilune_%s{worker=\"%u\"} %llu\n", metric, worker, value);
}

static void put_workers(FILE *out, const struct server *s) {
  put_family(out, "vm_memory_bytes", "gauge",
             "Memory of a worker's Lua VM; the last worker is the control worker.");
  for (unsigned i = 0; i <= s->worker_count; i++)
    put_worker(out, "vm_memory_bytes", i, cell_get(&metrics_tally(s->metrics, i)->vm_bytes));
  put_single(out, "vms_given_up_total", "counter",
             "Lua VMs that were given up, or had no memory left, so that the policy was loaded again.",
             vms_given_up_sum(s));
  put_family(out, "worker_lacks_vm", "gauge",
             "1: the worker's Lua VM was given up, and the policy is being loaded again.");
  for (unsigned i = 0; i < s->worker_count; i++)
    put_worker(out, "worker_lacks_vm", i, cell_get(&metrics_tally(s->metrics, i)->lacks_vm));
  put_family(out, "background_work", "gauge",
             "Runs of after, every and spawn under way; the last worker is the control worker.");
  for (unsigned i = 0; i <= s->worker_count; i++)
    put_worker(out, "background_work", i, cell_get(&metrics_tally(s->metrics, i)->background));
  put_family(out, "old_exchanges", "gauge", "Requests under way that still run on an older generation.");
  for (unsigned i = 0; i < s->worker_count; i++)
    put_worker(out, "old_exchanges", i, cell_get(&metrics_tally(s->metrics, i)->old_exchanges));
  put_family(out, "worker_stuck", "gauge",
             "1: the worker has not come back to its loop for about two seconds; another accepts for it.");
  for (unsigned i = 0; i < s->worker_count; i++)
    put_worker(out, "worker_stuck", i, heartbeat_is_away(s->heartbeat, i));
  put_family(out, "worker_lag_seconds", "gauge",
             "How long a message waited for the worker's event loop, measured once a second.");
  for (unsigned i = 0; i < s->worker_count; i++)
    fprintf(out, "perilune_worker_lag_seconds{worker=\"%u\"} %.6f\n", i,
            (double)cell_get(&metrics_tally(s->metrics, i)->lag) / 1e6);
}

static void put_dropped_of(const char *target, uint64_t dropped, void *out) {
  put_labelled(out, "log_lines_dropped_total", "log", str_of(target), dropped);
}

static void put_dropped(FILE *out, const struct server *s) {
  put_family(out, "log_lines_dropped_total", "counter",
             "Lines that were lost, because the log's file or reader did not take them in time.");
  logs_dropped(s->logs, put_dropped_of, out);
  put_single(out, "log_lines_throttled_total", "counter",
             "Lines of the error log that were counted instead of written, because they repeated.",
             log_throttle_total());
}

char *exposition_text(const struct server *s) {
  char *text = NULL;
  size_t bytes;
  struct tally tally;
  FILE *out = open_memstream(&text, &bytes);
  metrics_sum(s->metrics, &tally);
  put_process(out, s);
  put_listeners(out, s);
  put_peers(out, &tally);
  exposition_put_peer_figures(out);
  exposition_put_codings(out, &tally);
  put_names(out, s);
  exposition_put_backends(out, s->registry);
  caches_put_metrics(out, s->registry);
  put_limits(out, s);
  put_hooks(out, &tally);
  put_workers(out, s);
  put_dropped(out, s);
  exposition_put_tracing(out, s->registry);
  exposition_put_policy(out, s->registry);
  fclose(out);
  return text;
}
