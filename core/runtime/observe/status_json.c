// SPDX-License-Identifier: Apache-2.0
// status_json: one function for each part. Names contain their units: durations end in _us (microseconds), sizes in
// _bytes, moments in _at (Unix time in seconds). Each field has its line in docs/status.md;
// spec/status_document_spec.lua compares the two.
#include <stdlib.h>
#include <unistd.h>

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
#include "runtime/observe/json.h"
#include "runtime/observe/caches.h"
#include "runtime/observe/limits.h"
#include "runtime/observe/logs.h"
#include "runtime/observe/status.h"
#include "runtime/observe/sums.h"
#include "runtime/observe/tracing_report.h"
#include "runtime/server.h"
#include "runtime/steer/log_level.h"
#include "shared/census.h"
#include "shared/metrics.h"

static void put_process(struct json *j, const struct server *s) {
  json_text(j, "version", STR(PERILUNE_VERSION));
  json_number(j, "pid", (uint64_t)getpid());
  json_text(j, "policy", str_of(s->options->source.name));
  json_number(j, "now", (uint64_t)time(NULL));
  json_number(j, "started_at", (uint64_t)s->started.date);
  json_number(j, "up_seconds", (uint64_t)moment_age_s(s->started));
  json_text(j, "phase", str_of(phase_name(s->phase)));
  json_flag(j, "stopping", phase_is_over(s->phase));
  json_number(j, "generation", s->generation);
  json_number(j, "generation_at", (uint64_t)s->reloaded.date);
  json_number(j, "workers_behind", switching_behind(s));
  json_number(j, "background", background_sum(s));
  json_flag(j, "canary", s->canary != NULL);
  json_flag(j, "shadow", s->dryrun != NULL);
  json_flag(j, "upgrading", s->handover != NULL);
}

static void put_reloads(struct json *j, const struct reload_log *reload_log) {
  const struct reload_log_entry *entry;
  json_number(j, "reloads", reload_log->fine ? reload_log->fine - 1 : 0); /* the start is none */
  json_number(j, "reloads_failed", reload_log->failed);
  json_open(j, "history_of_reloads", '[');
  for (unsigned i = 0; (entry = reload_log_entry(reload_log, i)); i++) {
    json_open(j, NULL, '{');
    json_number(j, "loaded_at", (uint64_t)entry->at);
    json_number(j, "generation", entry->generation);
    json_flag(j, "fine", entry->fine);
    json_text(j, "text", str_of(entry->text));
    json_close(j, '}');
  }
  json_close(j, ']');
}

static void put_quantiles(struct json *j, const char *name, const struct histogram *h) {
  json_open(j, name, '{');
  json_number(j, "count", histogram_count(h));
  json_number(j, "p50", histogram_quantile(h, 0.5));
  json_number(j, "p90", histogram_quantile(h, 0.9));
  json_number(j, "p99", histogram_quantile(h, 0.99));
  json_number(j, "p999", histogram_quantile(h, 0.999));
  json_close(j, '}');
}

/* Of a listener, or of all of them. */
static void put_traffic(struct json *j, const struct traffic *t) {
  char name[16];
  uint64_t requests = 0;
  json_open(j, "statuses", '{');
  for (unsigned i = 0; i < TRAFFIC_STATUSES; i++) {
    uint64_t count = cell_get(&t->statuses[i]);
    requests += count;
    snprintf(name, sizeof name, "%u", i);
    if (count) json_number(j, name, count);
  }
  json_close(j, '}');
  json_number(j, "requests", requests);
  json_number(j, "accepted", cell_get(&t->accepted));
  json_number(j, "refused", cell_get(&t->refused));
  json_number(j, "received_bytes", cell_get(&t->received));
  json_number(j, "sent_bytes", cell_get(&t->sent));
  put_quantiles(j, "duration_us", &t->duration);
}

/* NULL: it is listened on no more. */
static const struct listening_entry *find_entry(const struct server *s, struct str name) {
  for (unsigned i = 0; s->listening && i < s->listening->count; i++)
    if (str_equal(str_of(s->listening->entries[i].address), name)) return &s->listening->entries[i];
  return NULL;
}

static void put_listeners(struct json *j, const struct server *s) {
  struct traffic traffic, all;
  struct str name;
  memset((void *)&all, 0, sizeof all);
  json_open(j, "listeners", '[');
  for (unsigned i = 0; metrics_listener(s->metrics, i, &name, &traffic); i++) {
    const struct listening_entry *entry = find_entry(s, name);
    traffic_merge(&all, &traffic);
    if (!entry) continue;
    json_open(j, NULL, '{');
    json_text(j, "address", name);
    json_flag(j, "tls", entry->tls || entry->fault);
    json_text(j, "fault", str_of(entry->fault ? entry->fault : ""));
    json_number(j, "open", census_count(metrics_listener_census(s->metrics, i)));
    put_traffic(j, &traffic);
    json_close(j, '}');
  }
  json_close(j, ']');
  put_traffic(j, &all);
}

static void put_peers(struct json *j, const struct tally *t) {
  json_number(j, "connections", cell_get(&t->downstreams));
  json_number(j, "accept_pauses", cell_get(&t->accept_pauses));
  json_number(j, "idle_closed", cell_get(&t->given_up));
  json_number(j, "active", cell_get(&t->exchanges));
  json_number(j, "retries", cell_get(&t->retries));
  json_number(j, "hedges", cell_get(&t->hedges));
  json_number(j, "hedges_lost", cell_get(&t->hedges_lost));
  json_open(j, "upstream", '{');
  json_number(j, "open", cell_get(&t->upstreams));
  json_number(j, "idle", cell_get(&t->upstreams_idle));
  json_number(j, "http2", cell_get(&t->upstreams_http2));
  json_number(j, "streams", cell_get(&t->upstream_streams));
  json_number(j, "opened", cell_get(&t->upstream_opened));
  json_number(j, "reused", cell_get(&t->upstream_reused));
  json_number(j, "borrowed", cell_get(&t->upstream_borrowed));
  put_quantiles(j, "connect_us", &t->connect);
  put_quantiles(j, "first_byte_us", &t->first_byte);
  json_close(j, '}');
}

static void put_failures(struct json *j, const struct tally *t) {
  json_open(j, "failures", '[');
  for (enum error error = ERROR_NONE + 1; error < ERROR_COUNT; error++) {
    const struct error_info *info = error_info(error);
    if (!cell_get(&t->failures[error])) continue;
    json_open(j, NULL, '{');
    json_text(j, "kind", str_of(info->name));
    json_text(j, "side", str_of(error_side_name(info->side)));
    json_text(j, "text", str_of(info->text));
    json_number(j, "count", cell_get(&t->failures[error]));
    json_close(j, '}');
  }
  json_close(j, ']');
}

static void put_hooks(struct json *j, const struct tally *t) {
  json_open(j, "hooks", '[');
  for (enum hook hook = 0; hook < HOOK_COUNT; hook++) {
    const struct hook_tally *tally = &t->hooks[hook];
    if (!cell_get(&tally->calls)) continue;
    json_open(j, NULL, '{');
    json_text(j, "name", str_of(hook_name(hook)));
    json_number(j, "calls", cell_get(&tally->calls));
    json_number(j, "errors", cell_get(&tally->errors));
    json_number(j, "total_us", ticks_to_us(cell_get(&tally->ticks)));
    json_decimal(j, "mean_us", hook_mean_us(tally));
    json_number(j, "slowest_us", ticks_to_us(cell_get(&tally->slowest)));
    json_close(j, '}');
  }
  json_close(j, ']');
}

static void put_limit(const struct limits_entry *limit, void *context) {
  struct json *j = context;
  json_open(j, NULL, '{');
  json_text(j, "name", limit->name);
  json_text(j, "kind", str_of(limit->kind));
  json_number(j, "keys", limit->keys);
  json_number(j, "table_bytes", limit->bytes);
  json_number(j, "overflowed", limit->overflowed);
  json_close(j, '}');
}

static void put_backend(const struct backend_report *b, void *j) { backend_report_put_json(b, j); }

static void put_names(struct json *j, const struct server *s) {
  struct names_sum sum = names_sum(s);
  json_open(j, "names", '{');
  json_number(j, "looked_up", sum.lookups);
  json_number(j, "kept", sum.kept);
  json_number(j, "stale", sum.stale);
  json_number(j, "questions", sum.questions);
  json_number(j, "unanswered", sum.failures);
  json_number(j, "silent_servers", sum.silent);
  json_close(j, '}');
}

/* "stuck": what it is at; "helper": who accepts for it. */
static void put_stuck(struct json *j, const struct server *s, unsigned index) {
  char doing[320] = "";
  bool is_away = heartbeat_is_away(s->heartbeat, index);
  if (is_away) switching_describe_worker(s, index, doing, sizeof doing);
  json_flag(j, "is_stuck", is_away);
  json_text(j, "stuck", str_of(doing));
  if (s->lending.helpers[index] >= 0) json_number(j, "helper", (uint64_t)s->lending.helpers[index]);
}

static void put_workers(struct json *j, const struct server *s) {
  json_open(j, "workers", '[');
  for (unsigned i = 0; i < s->worker_count; i++) {
    const struct tally *t = metrics_tally(s->metrics, i);
    json_open(j, NULL, '{');
    json_number(j, "id", i);
    json_number(j, "connections", cell_get(&t->downstreams));
    json_number(j, "active", cell_get(&t->exchanges));
    json_number(j, "upstreams", cell_get(&t->upstreams));
    json_number(j, "old_generations", cell_get(&t->old_generations));
    json_number(j, "old_exchanges", cell_get(&t->old_exchanges));
    json_number(j, "vm_bytes", cell_get(&t->vm_bytes));
    json_number(j, "lag_us", cell_get(&t->lag));
    json_number(j, "vms_given_up", cell_get(&t->vms_given_up));
    json_flag(j, "lacks_vm", cell_get(&t->lacks_vm));
    put_stuck(j, s, i);
    json_close(j, '}');
  }
  json_close(j, ']');
}

static void put_log(const char *target, uint64_t dropped, void *context) {
  struct json *j = context;
  json_open(j, NULL, '{');
  json_text(j, "target", str_of(target));
  json_number(j, "dropped", dropped);
  json_close(j, '}');
}

/* Oldest first: each an array in the order that `columns` has. */
static void put_seconds(struct json *j, const struct server *s) {
  json_open(j, "seconds", '[');
  for (unsigned age = HEARTBEAT_SECONDS; age-- > 0;) {
    const struct second *second = heartbeat_second(s->heartbeat, age);
    json_open(j, NULL, '[');
    json_number(j, NULL, second->requests);
    for (unsigned i = 0; i < HEARTBEAT_CLASSES; i++) json_number(j, NULL, second->classes[i]);
    json_number(j, NULL, second->p50_us);
    json_number(j, NULL, second->p90_us);
    json_number(j, NULL, second->p99_us);
    json_number(j, NULL, second->received);
    json_number(j, NULL, second->sent);
    json_close(j, ']');
  }
  json_close(j, ']');
}

static void put_columns(struct json *j) {
  static const char *const names[] = {
      "requests", "none",           "1xx",       "2xx", "3xx", "4xx", "5xx", "p50_us", "p90_us",
      "p99_us",   "received_bytes", "sent_bytes"};
  json_open(j, "columns", '[');
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) json_text(j, NULL, str_of(names[i]));
  json_close(j, ']');
}

/* Of `perilune trace`. */
static void put_live_traces(struct json *j, const struct server *s) {
  struct tracers_figures figures = tracers_figures(s->tracers);
  json_open(j, "live_traces", '{');
  json_number(j, "under_way", figures.under_way);
  json_number(j, "begun", figures.begun);
  json_number(j, "sent", figures.sent);
  json_number(j, "lost", figures.lost);
  json_close(j, '}');
}

char *status_json(const struct server *s) {
  char *text = NULL;
  size_t bytes;
  struct tally tally;
  struct json j = {open_memstream(&text, &bytes), true};
  metrics_sum(s->metrics, &tally);
  json_open(&j, NULL, '{');
  put_process(&j, s);
  put_reloads(&j, &s->reload_log);
  put_listeners(&j, s);
  put_peers(&j, &tally);
  put_failures(&j, &tally);
  put_hooks(&j, &tally);
  json_open(&j, "backends", '[');
  backends_report_read(s->registry, put_backend, &j);
  json_close(&j, ']');
  discovery_put_json(&j, s->registry);
  caches_put_json(&j, s->registry);
  json_open(&j, "limits", '[');
  limits_read(s->registry, put_limit, &j);
  json_close(&j, ']');
  put_workers(&j, s);
  json_open(&j, "logs", '[');
  logs_dropped(s->logs, put_log, &j);
  json_close(&j, ']');
  json_text(&j, "log_level", str_of(steer_log_level_name()));
  json_number(&j, "log_lines_throttled", log_throttle_total());
  json_number(&j, "vms_given_up", vms_given_up_sum(s));
  put_names(&j, s);
  tracing_report_put_json(&j, s->registry);
  put_live_traces(&j, s);
  bundle_put_json(&j);
  put_columns(&j);
  put_seconds(&j, s);
  json_close(&j, '}');
  fputc('\n', j.out);
  fclose(j.out);
  return text;
}
