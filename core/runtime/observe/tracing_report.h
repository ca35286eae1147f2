// SPDX-License-Identifier: Apache-2.0
// tracing_report: the spans of the policy in force, as status and metrics show them.
#ifndef PERILUNE_RUNTIME_TRACING_REPORT_H
#define PERILUNE_RUNTIME_TRACING_REPORT_H

#include <stdio.h>

#include "shared/span_queue.h"

struct json;

struct tracing_report {
  struct span_figures figures;
  size_t waiting; /* bytes */
};

/* False: the policy does not trace, and all is 0. In the control worker's thread, as the rest. */
bool tracing_report_read(struct registry *registry, struct tracing_report *report);

void tracing_report_put_json(struct json *j, struct registry *registry);
/* A line, if there is something to say. */
void tracing_report_put_text(FILE *out, struct registry *registry);

#endif
