// SPDX-License-Identifier: Apache-2.0
// discovery_report: visits the sources of the registry, and writes what is known of each in three forms.
#include "runtime/observe/discovery_report.h"

#include <stdlib.h>

#include "runtime/observe/exposition.h"
#include "runtime/observe/json.h"
#include "shared/discovery.h"

typedef unsigned long long number;
typedef void each_fn(const struct discovery_facts *facts, void *context);

static void read_all(struct registry *registry, each_fn *each, void *context) {
  unsigned count;
  struct registry_entry **entries = registry_hold_all(registry, discovery_kind.name, &count);
  for (unsigned i = 0; i < count; i++) {
    struct discovery_facts facts = discovery_read(registry_object(entries[i]));
    each(&facts, context);
    registry_release(registry, entries[i]);
  }
  free(entries);
}

/* --- text ------------------------------------------------------------------------------------------------- */

static void put_text(const struct discovery_facts *f, void *out) {
  fprintf(out, "source      %-28.*s %.*s, set \"%.*s\": ", STR_ARG(f->name.source), STR_ARG(f->name.kind),
          STR_ARG(f->name.set));
  if (f->good.date)
    fprintf(out, "%llu backend%s, as of %.0f s ago%s\n", (number)f->backends, plural(f->backends),
            discovery_age(f), f->is_kept ? " (from its file)" : "");
  else
    fputs("no list so far\n", out);
  if (f->skipped) fprintf(out, "            %llu more cannot be used\n", (number)f->skipped);
  if (f->is_down) fprintf(out, "            it fails: %s\n", f->why);
}

void discovery_put_text(FILE *out, struct registry *registry) { read_all(registry, put_text, out); }

/* --- JSON ------------------------------------------------------------------------------------------------- */

static void put_json(const struct discovery_facts *f, void *context) {
  struct json *j = context;
  json_open(j, NULL, '{');
  json_text(j, "kind", f->name.kind);
  json_text(j, "source", f->name.source);
  json_text(j, "set", f->name.set);
  json_number(j, "backends", f->backends);
  json_number(j, "skipped", f->skipped);
  json_number(j, "changes", f->changes);
  json_number(j, "failures", f->failures);
  json_number(j, "good_at", (uint64_t)f->good.date);
  json_number(j, "age_seconds", (uint64_t)discovery_age(f));
  json_flag(j, "is_from_file", f->is_kept);
  json_flag(j, "is_down", f->is_down);
  json_text(j, "last_failure", str_of(f->why));
  json_close(j, '}');
}

void discovery_put_json(struct json *j, struct registry *registry) {
  json_open(j, "discovery", '[');
  read_all(registry, put_json, j);
  json_close(j, ']');
}

/* --- Prometheus ------------------------------------------------------------------------------------------- */

static double age(const struct discovery_facts *f) { return discovery_age(f); }
static double down(const struct discovery_facts *f) { return f->is_down; }
static double backends(const struct discovery_facts *f) { return (double)f->backends; }
static double skipped(const struct discovery_facts *f) { return (double)f->skipped; }
static double changes(const struct discovery_facts *f) { return (double)f->changes; }
static double failures(const struct discovery_facts *f) { return (double)f->failures; }

struct family {
  const char *name, *type, *help;
  double (*value)(const struct discovery_facts *f);
};
static const struct family families[] = {
    {"discovery_age_seconds", "gauge", "How long ago the source last confirmed its list of backends.", age},
    {"discovery_down", "gauge", "1: the source cannot be asked, or its list was not taken.", down},
    {"discovery_backends", "gauge", "Backends of the list in use.", backends},
    {"discovery_skipped", "gauge", "Entries of the last list that cannot be used.", skipped},
    {"discovery_changes_total", "counter", "Lists that differed from the last one.", changes},
    {"discovery_failures_total", "counter", "Times that the source failed.", failures},
};

struct putting {
  FILE *out;
  const struct family *family;
};

static void put_sample(const struct discovery_facts *f, void *context) {
  const struct putting *p = context;
  fprintf(p->out, "perilune_%s{", p->family->name);
  exposition_put_label(p->out, "set", f->name.set);
  fputc(',', p->out);
  exposition_put_label(p->out, "kind", f->name.kind);
  fputc(',', p->out);
  exposition_put_label(p->out, "source", f->name.source);
  fprintf(p->out, "} %.15g\n", p->family->value(f));
}

void discovery_put_metrics(FILE *out, struct registry *registry) {
  for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
    struct putting putting = {out, &families[i]};
    exposition_put_family(out, families[i].name, families[i].type, families[i].help);
    read_all(registry, put_sample, &putting);
  }
}
