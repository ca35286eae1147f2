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

bool duration_read(const char *text, unsigned *ms) {
  char *end;
  double number = strtod(text, &end);
  if (end == text) return false;
  for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
    if (strcmp(end, units[i].name) != 0) continue;
    double sum = number * units[i].ms;
    if (!(sum >= 0.5 && sum < DURATION_MOST_MS)) return false;
    *ms = (unsigned)(sum + 0.5);
    return true;
  }
  return false;
}
