// SPDX-License-Identifier: Apache-2.0
// summary: the policy, where it listens, since when, and the files that name it.
#include "runtime/observe/summary.h"

#include <stdio.h>
#include <time.h>

#include "runtime/server.h"

enum { MOST_SHOWN = 4 };

static void put_age(FILE *out, time_t since) {
  static const struct {
    long seconds;
    const char *unit;
  } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
  long age = (long)(time(NULL) - since);
  int i = 0;
  while (i < 3 && age < 2 * units[i].seconds) i++;
  fprintf(out, ", up %ld %s", age / units[i].seconds, units[i].unit);
}

static void put_listeners(FILE *out, const struct listening *l) {
  unsigned count = l ? l->count : 0;
  for (unsigned i = 0; i < count && i < MOST_SHOWN; i++)
    fprintf(out, "%s%s", i ? ", " : " on ", l->entries[i].address);
  if (count > MOST_SHOWN) fprintf(out, " and %u more", count - MOST_SHOWN);
}

char *summary_text(const struct server *s) {
  const char *pid_file = config_text(s->options->config, CONFIG_pid_file);
  char *text = NULL;
  size_t bytes;
  FILE *out = open_memstream(&text, &bytes);
  fputs(s->options->source.name, out);
  put_listeners(out, s->listening);
  put_age(out, s->started_at);
  if (phase_is_over(s->phase)) fputs(", stopping", out);
  if (pid_file) fprintf(out, ", pid file %s", pid_file);
  fputc('\n', out);
  fclose(out);
  return text;
}
