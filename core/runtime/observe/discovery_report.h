// SPDX-License-Identifier: Apache-2.0
// discovery_report: the sources of backends, for people, for status.json and for Prometheus.
#ifndef PERILUNE_RUNTIME_DISCOVERY_REPORT_H
#define PERILUNE_RUNTIME_DISCOVERY_REPORT_H

#include <stdio.h>

struct json;
struct registry;

/* For `perilune status`, a line for each source; for status.json, an array; and for Prometheus. */
void discovery_put_text(FILE *out, struct registry *registry);
void discovery_put_json(struct json *j, struct registry *registry);
void discovery_put_metrics(FILE *out, struct registry *registry);

#endif
