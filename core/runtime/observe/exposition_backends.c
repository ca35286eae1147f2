// SPDX-License-Identifier: Apache-2.0
// exposition_backends: the metrics of each backend of the sets in force.
#include "runtime/observe/backends_report.h"
#include "runtime/observe/exposition.h"
#include "shared/backends.h"

static void put(FILE *out, const char *metric, const struct backend_report *b, unsigned value) {
  fprintf(out, "perilune_%s{", metric);
  exposition_put_label(out, "set", b->set);
  fputc(',', out);
  exposition_put_label(out, "backend", b->address);
  fprintf(out, "} %u\n", value);
}

static void put_up(const struct backend_report *b, void *out) {
  put(out, "backend_up", b, backend_report_is_up(b));
}
static void put_out(const struct backend_report *b, void *out) {
  put(out, "backend_out", b, (b->off & (BACKEND_DRAINED | BACKEND_DISABLED)) != 0);
}
static void put_weight(const struct backend_report *b, void *out) {
  put(out, "backend_weight", b, b->weight);
}
static void put_in_flight(const struct backend_report *b, void *out) {
  put(out, "backend_in_flight", b, b->in_flight);
}

void exposition_put_backends(FILE *out, struct registry *registry) {
  exposition_put_family(out, "backend_up", "gauge", "1: healthy, enabled and not ejected.");
  backends_report_read(registry, put_up, out);
  exposition_put_family(out, "backend_out", "gauge", "1: drained or disabled by the command backend.");
  backends_report_read(registry, put_out, out);
  exposition_put_family(out, "backend_weight", "gauge",
                        "Weight in use: the policy's, or that of the command backend.");
  backends_report_read(registry, put_weight, out);
  exposition_put_family(out, "backend_in_flight", "gauge", "Requests under way at a backend.");
  backends_report_read(registry, put_in_flight, out);
}
