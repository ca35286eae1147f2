// SPDX-License-Identifier: Apache-2.0
// duration: see duration.h.
#include "base/duration.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const struct {
  const char *name;
  double ms;
} units[] = {{"", 1e3}, {"ms", 1}, {"s", 1e3}, {"m", 60e3}, {"h", 3600e3}};

static bool is_in_bounds(double ms) { return ms >= 0.5 && ms < DURATION_MOST_MS; }

/* False: it is no time. */
static bool parse(const char *text, double *ms) {
  char *end;
  double number = strtod(text, &end);
  if (end == text) return false;
  for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
    if (strcmp(end, units[i].name) != 0) continue;
    *ms = number * units[i].ms;
    return true;
  }
  return false;
}

bool duration_read(const char *text, unsigned *ms) {
  double sum;
  if (!parse(text, &sum) || !is_in_bounds(sum)) return false;
  *ms = (unsigned)(sum + 0.5);
  return true;
}

bool duration_of_seconds(double seconds, unsigned *ms) {
  if (!is_in_bounds(seconds * 1e3)) return false;
  *ms = (unsigned)(seconds * 1e3 + 0.5);
  return true;
}

const char *duration_hint(const char *text) {
  double ms;
  if (!parse(text, &ms) || is_in_bounds(ms)) return "";
  return ms < 1 ? "; the shortest is 1ms" : "; the longest is 1111h";
}
