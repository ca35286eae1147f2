// SPDX-License-Identifier: Apache-2.0
// exposition_policy: the metrics that the policy has declared, from the registry.
#include <stdlib.h>

#include "base/number.h"
#include "runtime/observe/bundle_report.h"
#include "runtime/observe/discovery_report.h"
#include "runtime/observe/exposition.h"
#include "shared/family.h"
#include "shared/registry.h"

struct context {
  FILE *out;
  const char *name;
  const struct family_config *config;
};

static void put_labels(const struct context *c, const struct family_sum *sum) {
  for (unsigned i = 0; i < c->config->label_count; i++) {
    if (i) fputc(',', c->out);
    exposition_put_label(c->out, c->config->labels[i].ptr, sum->values[i]);
  }
}

/* `part` is "", "_sum" or "_count". */
static void put_number(const struct context *c, const struct family_sum *sum, const char *part,
                       double number) {
  fprintf(c->out, "%s%s", c->name, part);
  if (c->config->label_count) fputc('{', c->out);
  put_labels(c, sum);
  char text[NUMBER_TEXT];
  number_text(number, text);
  fprintf(c->out, "%s %s\n", c->config->label_count ? "}" : "", text);
}

static void put_buckets(const struct context *c, const struct family_sum *sum) {
  unsigned long long seen = 0;
  for (unsigned i = 0; i <= c->config->bound_count; i++) {
    seen += sum->counts[i];
    fprintf(c->out, "%s_bucket{", c->name);
    put_labels(c, sum);
    if (c->config->label_count) fputc(',', c->out);
    char bound[NUMBER_TEXT] = "+Inf";
    if (i < c->config->bound_count) number_text(c->config->bounds[i], bound);
    fprintf(c->out, "le=\"%s\"} %llu\n", bound, seen);
  }
  put_number(c, sum, "_count", (double)seen);
  put_number(c, sum, "_sum", sum->value);
}

static void put_series(const struct family_sum *sum, void *context) {
  const struct context *c = context;
  if (c->config->kind == FAMILY_HISTOGRAM)
    put_buckets(c, sum);
  else
    put_number(c, sum, "", sum->value);
}

/* Help is a line of its own: of a line feed and a backslash nothing may be left. */
static void put_help(const struct context *c) {
  fprintf(c->out, "# HELP %s ", c->name);
  for (size_t i = 0; i < c->config->help.len; i++) {
    char at = c->config->help.ptr[i];
    fputc((unsigned char)at < 0x20 || at == '\\' ? ' ' : at, c->out);
  }
  fputc('\n', c->out);
}

static void put_family(FILE *out, const struct registry_entry *entry) {
  static const char *const kinds[] = {"counter", "gauge", "histogram"};
  const struct family *family = registry_object(entry);
  struct context c = {out, registry_name(entry).ptr, family_config(family)};
  put_help(&c);
  fprintf(out, "# TYPE %s %s\n", c.name, kinds[c.config->kind]);
  family_read(family, put_series, &c);
}

void exposition_put_policy(FILE *out, struct registry *registry) {
  unsigned count;
  unsigned long long overflowed = 0;
  struct registry_entry **entries = registry_hold_all(registry, "metric", &count);
  for (unsigned i = 0; i < count; i++) {
    put_family(out, entries[i]);
    overflowed += family_overflowed(registry_object(entries[i]));
    registry_release(registry, entries[i]);
  }
  fprintf(out,
          "# HELP perilune_policy_series_overflowed_total Times that a metric of the policy had no room for "
          "another combination of labels.\n# TYPE perilune_policy_series_overflowed_total counter\n"
          "perilune_policy_series_overflowed_total %llu\n",
          overflowed);
  free(entries);
  discovery_put_metrics(out, registry);
  bundle_put_metrics(out);
}
