// SPDX-License-Identifier: Apache-2.0
// figures: one function for each table.
#include "runtime/observe/figures.h"

#include <stdio.h>
#include <unistd.h>

#include "base/ticks.h"
#include "exchange/account.h"
#include "exchange/hooks.h"
#include "runtime/observe/backends_report.h"
#include "runtime/observe/heartbeat.h"
#include "runtime/observe/sums.h"
#include "runtime/server.h"
#include "shared/census.h"
#include "shared/metrics.h"

typedef unsigned long long number;

/* Names come from policies. */
static void put_cell(FILE *out, struct str text) {
  fputc('\t', out);
  for (size_t i = 0; i < text.len; i++)
    fputc(text.ptr[i] == '\t' || text.ptr[i] == '\n' ? '?' : text.ptr[i], out);
}

static void put_number(FILE *out, number value) { fprintf(out, "\t%llu", value); }

static void put_fact(FILE *out, const char *name, struct str text) {
  fprintf(out, "fact\t%s", name);
  put_cell(out, text);
  fputc('\n', out);
}

static void put_count(FILE *out, const char *name, number value) {
  fprintf(out, "fact\t%s\t%llu\n", name, value);
}

static void put_facts(FILE *out, const struct server *s, const struct tally *t) {
  put_count(out, "pid", (number)getpid());
  put_fact(out, "policy", str_of(s->options->source.name));
  put_fact(out, "state", str_of(phase_name(s->phase)));
  put_count(out, "generation", s->generation);
  put_count(out, "seconds", (number)moment_age_s(s->started));
  put_count(out, "connections", cell_get(&t->downstreams));
  put_count(out, "active", cell_get(&t->exchanges));
  put_count(out, "upstreams", cell_get(&t->upstreams));
}

static void put_seconds(FILE *out, const struct server *s) {
  for (unsigned age = HEARTBEAT_SECONDS; age-- > 0;) {
    const struct second *second = heartbeat_second(s->heartbeat, age);
    fprintf(out, "second\t%u", second->requests);
    for (unsigned i = 0; i < HEARTBEAT_CLASSES; i++) put_number(out, second->classes[i]);
    fprintf(out, "\t%u\t%u\t%u\t%llu\t%llu\n", second->p50_us, second->p90_us, second->p99_us,
            (number)second->received, (number)second->sent);
  }
}

static void put_backend(const struct backend_report *b, void *context) {
  FILE *out = context;
  fputs("row", out);
  put_cell(out, b->address);
  put_cell(out, b->set);
  put_cell(out, str_of(backend_report_state(b)));
  put_number(out, b->weight);
  put_number(out, b->in_flight);
  put_number(out, b->latency_us);
  fputc('\n', out);
}

static void put_backends(FILE *out, const struct server *s) {
  fputs("table\tbackends\taddress:t\tset:t\tstate:t\tweight:n\tin flight:n\texpected:u\n", out);
  backends_report_read(s->registry, put_backend, out);
}

static void put_hooks(FILE *out, const struct tally *t) {
  fputs("table\thooks\thook:t\tcalls/s:c\tcalls:n\terrors:n\tmean:u\tslowest:u\n", out);
  for (enum hook hook = 0; hook < HOOK_COUNT; hook++) {
    const struct hook_tally *h = &t->hooks[hook];
    if (!cell_get(&h->calls)) continue;
    fprintf(out, "row\t%s\t%llu\t%llu\t%llu\t%.0f\t%llu\n", hook_name(hook), (number)cell_get(&h->calls),
            (number)cell_get(&h->calls), (number)cell_get(&h->errors), hook_mean_us(h),
            (number)ticks_to_us(cell_get(&h->slowest)));
  }
}

static number requests_of(const struct traffic *t, unsigned from, unsigned to) {
  number sum = 0;
  for (unsigned i = from; i < to && i < TRAFFIC_STATUSES; i++) sum += cell_get(&t->statuses[i]);
  return sum;
}

static void put_listeners(FILE *out, const struct server *s) {
  struct traffic traffic;
  struct str name;
  fputs("table\tlisteners\taddress:t\topen:n\trequests/s:c\t4xx/s:c\t5xx/s:c\tsent/s:c\tp50:u\tp99:u\n", out);
  for (unsigned i = 0; metrics_listener(s->metrics, i, &name, &traffic); i++) {
    fputs("row", out);
    put_cell(out, name);
    put_number(out, census_count(metrics_listener_census(s->metrics, i)));
    put_number(out, requests_of(&traffic, 0, TRAFFIC_STATUSES));
    put_number(out, requests_of(&traffic, 400, 500));
    put_number(out, requests_of(&traffic, 500, 600) + requests_of(&traffic, 0, 1));
    put_number(out, cell_get(&traffic.sent));
    put_number(out, histogram_quantile(&traffic.duration, 0.5));
    put_number(out, histogram_quantile(&traffic.duration, 0.99));
    fputc('\n', out);
  }
}

static void put_workers(FILE *out, const struct server *s) {
  fputs(
      "table\tworkers\tworker:t\tstate:t\tconnections:n\tunder way:n\tpeers:n\tLua memory:b\tloop delay:u\n",
      out);
  for (unsigned i = 0; i < s->worker_count; i++) {
    const struct tally *t = metrics_tally(s->metrics, i);
    const char *state = heartbeat_is_away(s->heartbeat, i) ? "STUCK"
                        : cell_get(&t->lacks_vm)           ? "no VM"
                                                           : "serves";
    fprintf(out, "row\t%u\t%s\t%llu\t%llu\t%llu\t%llu\t%llu\n", i, state, (number)cell_get(&t->downstreams),
            (number)cell_get(&t->exchanges), (number)cell_get(&t->upstreams), (number)cell_get(&t->vm_bytes),
            (number)cell_get(&t->lag));
  }
}

static void put_failures(FILE *out, const struct tally *t) {
  fputs("table\tfailures\terror:t\tside:t\tnow/s:c\tin all:n\n", out);
  for (enum error error = ERROR_NONE + 1; error < ERROR_COUNT; error++) {
    number count = cell_get(&t->failures[error]);
    const struct error_info *info = error_info(error);
    if (count)
      fprintf(out, "row\t%s\t%s\t%llu\t%llu\n", info->name, error_side_name(info->side), count, count);
  }
}

char *figures_text(const struct server *s) {
  char *text = NULL;
  size_t bytes;
  struct tally tally;
  FILE *out = open_memstream(&text, &bytes);
  metrics_sum(s->metrics, &tally);
  put_facts(out, s, &tally);
  put_seconds(out, s);
  put_backends(out, s);
  put_hooks(out, &tally);
  put_listeners(out, s);
  put_workers(out, s);
  put_failures(out, &tally);
  fclose(out);
  return text;
}
