// SPDX-License-Identifier: Apache-2.0
// findings: lines of text about the control worker's instance, made once for each load. They belong to struct loaded,
// then to struct generation, and are freed with it.
#include "runtime/deploy/findings.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/str.h"
#include "runtime/instance.h"

enum { MOST_FINDINGS = 20 };

struct tally {
  unsigned shown, more;
};

/* A look ends with "and 3 more" where it has found too much. */
static void put_lines(FILE *out, const char *lines, struct tally *tally) {
  struct str rest = str_of(lines), line;
  while (lines && rest.len && str_split(&rest, '\n', &line)) {
    unsigned left_out = 0;
    if (!line.len) continue;
    if (sscanf(line.ptr, "and %u more", &left_out) == 1) {
      tally->more += left_out;
    } else if (tally->shown < MOST_FINDINGS) {
      fprintf(out, "%.*s\n", STR_ARG(line));
      tally->shown++;
    } else {
      tally->more++;
    }
  }
}

char *findings_take(const struct instance *instance) {
  const struct policy_kind *kind = instance->source->kind;
  struct tally tally = {0};
  char *doubts = NULL, *faults = kind->faults ? kind->faults(instance->policy, &doubts) : NULL, *text = NULL;
  size_t bytes;
  FILE *out = open_memstream(&text, &bytes);
  put_lines(out, faults, &tally);
  put_lines(out, doubts, &tally);
  if (tally.more) fprintf(out, "and %u more\n", tally.more);
  if (tally.shown) fprintf(out, "'perilune check %s' lists these\n", instance->source->name);
  fclose(out);
  free(faults);
  free(doubts);
  if (tally.shown) return text;
  free(text);
  return NULL;
}

char *findings_append(char *text, const char *findings) {
  if (!findings) return text;
  char *whole = NULL;
  size_t bytes;
  struct str rest = str_of(findings), line;
  FILE *out = open_memstream(&whole, &bytes);
  fputs(text, out);
  while (rest.len && str_split(&rest, '\n', &line))
    if (line.len) fprintf(out, "warning: %.*s\n", STR_ARG(line));
  fclose(out);
  free(text);
  return whole;
}
