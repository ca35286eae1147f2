// SPDX-License-Identifier: Apache-2.0
// tracing_report: reads the queue of spans from the registry; there is one, under one name.
#include "runtime/observe/tracing_report.h"

#include <stdlib.h>

#include "runtime/observe/json.h"

typedef unsigned long long number;

bool tracing_report_read(struct registry *registry, struct tracing_report *report) {
  unsigned count;
  struct registry_entry **entries = registry_hold_all(registry, span_queue_kind.name, &count);
  *report = (struct tracing_report){0};
  for (unsigned i = 0; i < count; i++) {
    const struct span_queue *q = registry_object(entries[i]);
    report->figures = span_queue_figures(q);
    report->waiting = span_queue_waiting(q);
    registry_release(registry, entries[i]);
  }
  free(entries);
  return count > 0;
}

void tracing_report_put_json(struct json *j, struct registry *registry) {
  struct tracing_report r;
  bool is_on = tracing_report_read(registry, &r);
  json_open(j, "tracing", '{');
  json_flag(j, "is_on", is_on);
  json_number(j, "recorded", r.figures.recorded);
  json_number(j, "dropped", r.figures.dropped);
  json_number(j, "exported", r.figures.exported);
  json_number(j, "refused", r.figures.refused);
  json_number(j, "batches", r.figures.batches);
  json_number(j, "failures", r.figures.failures);
  json_number(j, "waiting_bytes", r.waiting);
  json_flag(j, "is_down", r.figures.is_down);
  json_text(j, "last_failure", str_of(r.figures.why));
  json_close(j, '}');
}

void tracing_report_put_text(FILE *out, struct registry *registry) {
  struct tracing_report r;
  if (!tracing_report_read(registry, &r)) return;
  fprintf(out, "traces      %llu span%s, %llu sent, %llu refused, %llu dropped, %.1f KiB wait\n",
          (number)r.figures.recorded, plural(r.figures.recorded), (number)r.figures.exported,
          (number)r.figures.refused, (number)r.figures.dropped, (double)r.waiting / 1024);
  if (r.figures.is_down) fprintf(out, "            the collector does not take them: %s\n", r.figures.why);
}
