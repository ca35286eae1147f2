// SPDX-License-Identifier: Apache-2.0
// steer/introduce: one fact in a line; who reads it knows the words, and skips those of a later version.
#include "runtime/steer/introduce.h"

#include <stdio.h>
#include <unistd.h>

#include "base/version.h"
#include "runtime/server.h"

/* A path may have a line feed in it. */
static void put(FILE *out, const char *word, const char *text) {
  fprintf(out, "%s\t", word);
  for (; *text; text++) fputc(*text == '\n' ? '?' : *text, out);
  fputc('\n', out);
}

static void put_number(FILE *out, const char *word, long number) { fprintf(out, "%s\t%ld\n", word, number); }

char *introduce(const struct server *s) {
  const char *pid_file = config_text(s->options->config, CONFIG_pid_file);
  const char *socket = config_text(s->options->config, CONFIG_socket);
  char *text = NULL;
  size_t bytes;
  FILE *out = open_memstream(&text, &bytes);
  put_number(out, "pid", getpid());
  put(out, "version", PERILUNE_VERSION);
  put(out, "policy", s->options->source.name);
  put_number(out, "generation", s->generation);
  put_number(out, "generation_seconds", (long)moment_age_s(s->reloaded));
  put_number(out, "seconds", (long)moment_age_s(s->started));
  put_number(out, "workers", s->worker_count);
  put(out, "state", phase_is_over(s->phase) ? "stopping" : "serving");
  for (unsigned i = 0; s->listening && i < s->listening->count; i++)
    put(out, "listener", s->listening->entries[i].address);
  if (s->admin) put(out, "admin", config_text(s->options->config, CONFIG_admin));
  if (pid_file) put(out, "pid_file", pid_file);
  if (socket) put(out, "socket", socket);
  fclose(out);
  return text;
}
