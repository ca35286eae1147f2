// SPDX-License-Identifier: Apache-2.0
// bundle_report: what is known of the bundle, in three forms.
#include "runtime/observe/bundle_report.h"

#include "runtime/deploy/bundle_state.h"
#include "runtime/observe/exposition.h"
#include "runtime/observe/json.h"

typedef unsigned long long number;

void bundle_put_text(FILE *out) {
  const struct bundle_settings *settings = bundle_settings();
  const struct bundle_state *b = bundle_state();
  if (!settings) return;
  fprintf(out, "bundle      version %llu runs, %llu is wanted%s; ", (number)b->running, (number)b->wanted,
          b->is_trying ? ", and tried" : "");
  if (b->good.date)
    fprintf(out, "asked %lld s ago\n", (long long)moment_age_s(b->good));
  else
    fputs("the source has not answered so far\n", out);
  if (b->refused > b->running)
    fprintf(out, "            version %llu is refused: %s\n", (number)b->refused, b->refusal);
  if (b->is_down) fprintf(out, "            it fails: %s\n", b->why);
}

void bundle_put_json(struct json *j) {
  const struct bundle_settings *settings = bundle_settings();
  const struct bundle_state *b = bundle_state();
  json_open(j, "bundle", '{');
  json_flag(j, "is_on", settings != NULL);
  json_text(j, "source", str_of(settings ? settings->url : ""));
  json_number(j, "running", b->running);
  json_number(j, "wanted", b->wanted);
  json_flag(j, "is_trying", b->is_trying);
  json_number(j, "refused", b->refused);
  json_text(j, "refusal", str_of(b->refusal));
  json_number(j, "good_at", (uint64_t)b->good.date);
  json_number(j, "failures", b->failures);
  json_flag(j, "is_down", b->is_down);
  json_text(j, "last_failure", str_of(b->why));
  json_close(j, '}');
}

void bundle_put_metrics(FILE *out) {
  const struct bundle_state *b = bundle_state();
  exposition_put_single(out, "bundle_running_version", "gauge", "Version of the bundle in force; 0: none.",
                        b->running);
  exposition_put_single(out, "bundle_wanted_version", "gauge", "The newest version that is signed and whole.",
                        b->wanted);
  exposition_put_single(out, "bundle_refused", "gauge", "1: the wanted version was tried, and refused.",
                        b->refused && b->refused > b->running);
  exposition_put_single(out, "bundle_down", "gauge",
                        "1: the source of the bundle fails, or what it gave is not good.", b->is_down);
  exposition_put_single(out, "bundle_failures_total", "counter", "Times that it did.", b->failures);
}
