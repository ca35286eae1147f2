// SPDX-License-Identifier: Apache-2.0
// exposition_tracing: the metrics of spans on their way to the collector.
#include "runtime/observe/exposition.h"
#include "runtime/observe/tracing_report.h"

#define put_single exposition_put_single

void exposition_put_tracing(FILE *out, struct registry *registry) {
  struct tracing_report r;
  tracing_report_read(registry, &r);
  put_single(out, "trace_spans_total", "counter", "Spans that were recorded and queued for the collector.",
             r.figures.recorded);
  put_single(out, "trace_dropped_total", "counter", "Spans that were dropped, because the queue was full.",
             r.figures.dropped);
  put_single(out, "trace_exported_total", "counter", "Spans that the collector has taken.",
             r.figures.exported);
  put_single(out, "trace_refused_total", "counter",
             "Spans that the collector refused, or that were given up after several tries.",
             r.figures.refused);
  put_single(out, "trace_export_failures_total", "counter", "Batches that could not be delivered, each try.",
             r.figures.failures);
  put_single(out, "trace_queue_bytes", "gauge", "Spans that wait for the collector.", r.waiting);
  put_single(out, "trace_collector_down", "gauge", "1: the last batch could not be delivered.",
             r.figures.is_down);
}
