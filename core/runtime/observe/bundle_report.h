// SPDX-License-Identifier: Apache-2.0
// bundle_report: the bundle that the policy comes as, for people, for status.json and for Prometheus.
#ifndef PERILUNE_RUNTIME_BUNDLE_REPORT_H
#define PERILUNE_RUNTIME_BUNDLE_REPORT_H

#include <stdio.h>

struct json;

/* Nothing, where it comes as a file. */
void bundle_put_text(FILE *out);
void bundle_put_json(struct json *j);
void bundle_put_metrics(FILE *out);

#endif
