// SPDX-License-Identifier: Apache-2.0
// steer: checks the words, and puts them into the line that the proxy reads (runtime/commands.c). Tabs are between the
// words that may have spaces in them.
#include "cli/steer.h"

#include <stdio.h>
#include <string.h>

#include "cli/arguments.h"
#include "runtime/client.h"
#include "runtime/process.h"
#include "runtime/ps.h"

bool command_target(const struct arguments *a, struct client_target *target) {
  *target = (struct client_target){a->socket, a->pid_file, a->pid};
  if (!!a->socket + !!a->pid_file + !!a->pid <= 1) return true;
  arguments_refuse(COMMAND_COUNT, "--pid, --pid-file and --socket each name the proxy: give one");
  return false;
}

static int stream(const struct arguments *a, const char *line, bool changes, FILE *raw) {
  struct client_target target;
  return command_target(a, &target) ? client_stream(&target, line, changes, raw) : EXIT_BAD_INPUT;
}

int command_tell(struct arguments *a, const char *line, bool changes) {
  return stream(a, line, changes, NULL);
}
int command_fetch(struct arguments *a, const char *line, FILE *raw) { return stream(a, line, false, raw); }

/* --- backends --------------------------------------------------------------------------------------------- */

/* With the set, which may be left out, in front of how many words? */
static const struct {
  const char *action;
  unsigned words;
} actions[] = {{"list", 0}, {"drain", 1}, {"disable", 1}, {"enable", 1}, {"weight", 2}};
enum { ACTIONS = sizeof actions / sizeof *actions };

static bool has_separator(const char *word) { return word && strpbrk(word, "\t\n"); }

static int tell(struct arguments *a, const char *action, const char *set, const char *address,
                const char *weight) {
  char line[4000];
  bool changes = strcmp(action, "list") != 0 && strcmp(action, "json") != 0;
  if (has_separator(set) || has_separator(address) || has_separator(weight))
    return arguments_refuse(COMMAND_BACKEND, "there is a tab or a line feed in a word");
  int length = snprintf(line, sizeof line, "backend %s %u\t%s\t%s\t%s", action, a->for_ms, set ? set : "",
                        address ? address : "", weight ? weight : "");
  if (length >= (int)sizeof line) return arguments_refuse(COMMAND_BACKEND, "that is too long");
  return command_tell(a, line, changes);
}

static int forget(struct arguments *a) {
  if (a->operand_count > 2)
    return arguments_refuse(COMMAND_BACKEND, "--forget takes at most SET ADDRESS, and no ACTION");
  for (int i = 0; a->operand && i < ACTIONS; i++)
    if (strcmp(a->operand, actions[i].action) == 0)
      return arguments_refuse(COMMAND_BACKEND, "--forget takes no ACTION such as '%s'", a->operand);
  return tell(a, "forget", a->operands[0], a->operands[1], NULL);
}

static int act(struct arguments *a, unsigned words) {
  const char *const *given = (const char *const *)a->operands + 1;
  unsigned count = a->operand_count - 1;
  if (arguments_has(a, "--for") && strcmp(a->operand, "drain") != 0)
    return arguments_refuse(COMMAND_BACKEND, "--for belongs to drain");
  if (a->json && words) return arguments_refuse(COMMAND_BACKEND, "--json belongs to list");
  if (!words && count <= 1) return tell(a, a->json ? "json" : "list", given[0], NULL, NULL);
  if (count < words || count > words + 1)
    return arguments_refuse(COMMAND_BACKEND, "%s wants [SET]%s%s", a->operand, words ? " ADDRESS" : "",
                            words == 2 ? " WEIGHT" : "");
  bool has_set = count > words;
  return tell(a, a->operand, has_set ? given[0] : NULL, given[has_set],
              words == 2 ? given[has_set + 1] : NULL);
}

int steer_backend(struct arguments *a) {
  if (a->forget) return forget(a);
  if (!a->operand)
    return arguments_refuse(COMMAND_BACKEND,
                            "backend wants an action: list, drain, disable, enable or weight");
  for (int i = 0; i < ACTIONS; i++)
    if (strcmp(a->operand, actions[i].action) == 0) return act(a, actions[i].words);
  return arguments_refuse(COMMAND_BACKEND,
                          "backend has no action '%s'; valid are list, drain, disable, enable and weight",
                          a->operand);
}

/* --- the others ------------------------------------------------------------------------------------------- */

int steer_log_level_command(struct arguments *a) {
  char line[64];
  bool has_time = arguments_has(a, "--for");
  if (!a->operand && has_time) return arguments_refuse(COMMAND_LOG_LEVEL, "--for wants a LEVEL");
  if (a->operand && has_time && strcmp(a->operand, "default") == 0)
    return arguments_refuse(COMMAND_LOG_LEVEL, "default holds for good: it takes no --for");
  if (!a->operand) return command_tell(a, "log-level", false);
  snprintf(line, sizeof line, "log-level %.15s %u", a->operand, has_time ? a->for_ms : 0);
  return command_tell(a, line, true);
}

int ps(struct arguments *a) { return ps_print(stdout, a->json); }
