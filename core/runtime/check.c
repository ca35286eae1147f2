// SPDX-License-Identifier: Apache-2.0
// check: loads a policy and its settings without serving, and finds all that a start would find, as far as possible
// without opening what a running proxy may use. It loads the policy once, without a worker.
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "base/why.h"
#include "runtime/observe/admin.h"
#include "runtime/config.h"
#include "runtime/instance.h"
#include "runtime/listening.h"
#include "runtime/process.h"
#include "shared/registry.h"

static bool check_log(const struct policy_listener *said, char **why) {
  if (!said->access_log.len) return true;
  char *target = str_to_cstring(said->access_log), *place = str_to_cstring(said->place), name[512];
  snprintf(name, sizeof name, "%s: access log", place);
  bool fine = config_check_log(name, target, why);
  free(target);
  free(place);
  return fine;
}

/* How many findings they tell of: the last line may be "and 3 more". */
static unsigned print_lines(const char *word, char *lines) {
  struct str rest = str_of(lines), line;
  unsigned count = 0, more;
  while (lines && rest.len && str_split(&rest, '\n', &line)) {
    fprintf(stderr, "perilune: %s%.*s\n", word, STR_ARG(line));
    count += sscanf(line.ptr, "and %u more", &more) == 1 ? more : 1;
  }
  free(lines);
  return count;
}

/* What the policy itself has no word for: told at once. */
static bool look_closer(const struct policy_source *source, void *policy, unsigned *warnings) {
  char *doubts = NULL;
  char *faults = source->kind->faults ? source->kind->faults(policy, &doubts) : NULL;
  bool fine = !faults;
  print_lines("", faults);
  *warnings = print_lines("warning: ", doubts);
  return fine;
}

/* Where the policy has set it, with that line. */
static bool check_admin(const struct config *config, char **why) {
  const struct config_value *admin = &config->values[CONFIG_admin];
  if (!config_text(config, CONFIG_admin) || admin_check(config, why)) return true;
  return admin->place && why_prefix(why, "%s: ", admin->place);
}

static bool check_policy(const struct policy_source *source, const struct policy_host *host,
                         unsigned *warnings, char **why) {
  unsigned count;
  struct instance *instance = instance_load(source, host, 1, why);
  if (!instance) return false;
  struct policy_listener *said = source->kind->listeners(instance->policy, &count);
  bool fine = check_admin(host->config, why) && admin_is_apart(host->config, said, count, why);
  fine = fine && config_check(host->config, why);
  for (unsigned i = 0; i < count && fine; i++)
    fine = listening_load(&said[i], why) && check_log(&said[i], why);
  fine = fine && look_closer(source, instance->policy, warnings);
  instance_free(instance);
  return fine;
}

int process_check(const struct policy_source *source, struct config *config, unsigned *warnings) {
  struct registry *registry = registry_new();
  struct policy_host host = {
      .registry = registry, .is_control = true, .is_check = true, .is_first = true, .config = config};
  host.worker = host.workers = config_workers(config);
  char *why = NULL;
  *warnings = 0;
  bool fine = check_policy(source, &host, warnings, &why);
  if (why) fprintf(stderr, "perilune: %s\n", why);
  free(why);
  registry_free(registry);
  memory_thread_end();
  return fine ? EXIT_FINE : EXIT_BAD_INPUT;
}
