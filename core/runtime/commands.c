// SPDX-License-Identifier: Apache-2.0
// commands: one function for each command.
#include "runtime/commands.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/why.h"
#include "runtime/deploy/canary.h"
#include "runtime/deploy/dryrun.h"
#include "runtime/deploy/loader.h"
#include "runtime/observe/profiling.h"
#include "runtime/live/tracers.h"
#include "runtime/observe/figures.h"
#include "runtime/observe/recording.h"
#include "runtime/observe/status.h"
#include "runtime/purging.h"
#include "runtime/server.h"
#include "runtime/steer/backends.h"
#include "runtime/steer/introduce.h"
#include "runtime/steer/log_level.h"
#include "runtime/steer/repl.h"

static void do_reload(struct command_client *client) {
  struct server *s = command_server_of(client);
  const char *obstacle = server_refusal(s, DEMAND_RELOAD);
  if (obstacle) {
    command_refuse(client, EXIT_FAILED, str_to_cstring(str_of(obstacle)));
    return;
  }
  command_wait(client, WAITS_FOR_RELOAD);
  server_reload(s);
}

/* Exactly so many decimal numbers, with a space between two. */
static bool read_numbers(const char *text, unsigned *numbers, unsigned count) {
  struct str rest = str_of(text), word;
  uint64_t number;
  for (unsigned i = 0; i < count; i++) {
    if (!str_split(&rest, ' ', &word) || !str_to_u64(word, &number) || number > UINT_MAX) return false;
    numbers[i] = (unsigned)number;
  }
  return !rest.ptr;
}

/* "reload canary SHARE FOR_MS MAX_ERRORS" */
static void do_canary(struct command_client *client, const char *numbers) {
  char *why = NULL;
  unsigned given[3];
  bool is_whole =
      read_numbers(numbers, given, 3) && given[0] && given[0] <= 10000 && given[1] && given[2] <= 10000;
  if (!is_whole) {
    command_answer(client, EXIT_BAD_INPUT, "malformed command\n");
    return;
  }
  const struct canary_options options = {.share = given[0], .for_ms = given[1], .max_errors = given[2]};
  command_wait(client, WAITS_FOR_CANARY);
  if (canary_start(command_server_of(client), &options, &why)) return;
  log_error("canary: %s", why);
  command_refuse(client, EXIT_BAD_INPUT, why);
}

/* "reload shadow FOR_MS" */
static void do_shadow(struct command_client *client, const char *number) {
  char *why = NULL;
  unsigned for_ms;
  if (!read_numbers(number, &for_ms, 1) || !for_ms) {
    command_answer(client, EXIT_BAD_INPUT, "malformed command\n");
    return;
  }
  command_wait(client, WAITS_FOR_SHADOW);
  if (dryrun_start(command_server_of(client), for_ms, &why)) return;
  log_error("shadow: %s", why);
  command_refuse(client, EXIT_BAD_INPUT, why);
}

/* What is in force already stays so. */
static void refuse_abort(struct command_client *client) {
  struct server *s = command_server_of(client);
  char *why = phase_is_over(s->phase)
                  ? str_to_cstring(str_of(server_refusal(s, DEMAND_RELOAD)))
                  : why_text("there is nothing to end: no policy is being loaded, no canary and no shadow is "
                             "tried; generation %u is in force",
                             s->generation);
  command_refuse(client, EXIT_FAILED, why);
}

static void do_abort(struct command_client *client) {
  struct server *s = command_server_of(client);
  if (phase_is_over(s->phase) || !(s->canary || s->dryrun || s->loader)) {
    refuse_abort(client);
    return;
  }
  command_wait(client, WAITS_FOR_ABORT);
  if (s->canary)
    canary_abort(s->canary);
  else if (s->dryrun)
    dryrun_abort(s->dryrun);
  else
    loader_abort(s->loader);
}

static void do_close_old(struct command_client *client) {
  struct server *s = command_server_of(client);
  for (unsigned i = 0; i < s->worker_count && s->running; i++) worker_close_old(&s->workers[i]);
  command_answer(client, EXIT_FINE, "connections on older generations are closed\n");
}

/* Also if it is stopping already: the client wants to know when it has ended. */
static void do_stop(struct command_client *client, bool now) {
  command_wait(client, WAITS_FOR_END);
  server_stop(command_server_of(client), now);
}

static void do_upgrade(struct command_client *client) {
  char *why = NULL;
  command_wait(client, WAITS_FOR_UPGRADE);
  if (server_upgrade(command_server_of(client), &why)) return;
  command_refuse(client, EXIT_FAILED, why);
}

static void do_status(struct command_client *client, char *(*status)(const struct server *server)) {
  char *text = status(command_server_of(client));
  command_answer(client, EXIT_FINE, text);
  free(text);
}

/* Of the load that the command begins, if it begins one. */
static void do_strictly(struct command_client *client, const char *line) {
  struct server *s = command_server_of(client);
  bool is_free = !s->loader;
  if (is_free) s->load_is_strict = true;
  commands_obey(client, line);
  if (is_free && !s->loader) s->load_is_strict = false;
}

void commands_obey(struct command_client *client, const char *line) {
  if (strncmp(line, "strictly reload", 15) == 0)
    do_strictly(client, line + 9);
  else if (strcmp(line, "reload") == 0)
    do_reload(client);
  else if (strncmp(line, "reload canary ", 14) == 0)
    do_canary(client, line + 14);
  else if (strncmp(line, "reload shadow ", 14) == 0)
    do_shadow(client, line + 14);
  else if (strcmp(line, "reload abort") == 0)
    do_abort(client);
  else if (strcmp(line, "close old") == 0)
    do_close_old(client);
  else if (strcmp(line, "stop") == 0)
    do_stop(client, false);
  else if (strcmp(line, "stop now") == 0)
    do_stop(client, true);
  else if (strcmp(line, "upgrade") == 0)
    do_upgrade(client);
  else if (strcmp(line, "status") == 0)
    do_status(client, status_text);
  else if (strcmp(line, "status json") == 0)
    do_status(client, status_json);
  else if (strcmp(line, "summary") == 0)
    do_status(client, status_summary);
  else if (strncmp(line, "trace", 5) == 0)
    tracers_begin(client, line + 5);
  else if (strcmp(line, "recent") == 0)
    tracers_show_recent(client);
  else if (strcmp(line, "figures") == 0)
    do_status(client, figures_text);
  else if (strcmp(line, "ps") == 0)
    do_status(client, introduce);
  else if (strncmp(line, "backend ", 8) == 0)
    steer_backends(client, line + 8);
  else if (strncmp(line, "log-level", 9) == 0)
    steer_log_level(client, line + 9);
  else if (strncmp(line, "purge ", 6) == 0)
    purging_obey(client, line + 6);
  else if (strncmp(line, "record ", 7) == 0)
    recording_obey(client, line + 7);
  else if (strncmp(line, "profile ", 8) == 0)
    profiling_obey(client, line + 8);
  else if (strncmp(line, "repl ", 5) == 0)
    steer_repl(client, line + 5);
  else if (strcmp(line, "ping") == 0)
    command_answer(client, EXIT_FINE, "");
  else
    command_answer(client, EXIT_BAD_INPUT, "unknown command\n");
}
