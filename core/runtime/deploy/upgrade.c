// SPDX-License-Identifier: Apache-2.0
// upgrade: starts a new process with our sockets (runtime/deploy/handover). This process ends when the new one
// serves, and continues if it does not.
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/why.h"
#include "runtime/command.h"
#include "runtime/deploy/changes.h"
#include "runtime/deploy/handover.h"
#include "runtime/server.h"
#include "shared/cache_kept.h"

/* Workers that were behind when it began may have come by now. */
static void go_on(struct server *s, const char *why) {
  log_error("upgrade: %s; this process goes on", why);
  server_enter(s, s->switching.awaited ? PHASE_SWITCHING : PHASE_SERVING);
  server_reload_queued(s);
}

#define ANEW "begins anew in the successor: "

/* The answer to the client: who has to name the process by its number needs the new one. Malloc'd. */
static char *tell_success(struct server *s, pid_t successor) {
  char *anew = changes_of_successor(s->registry);
  if (!anew) return why_text("upgraded: now process %d\n", (int)successor);
  char *text = why_text("upgraded: now process %d\n  " ANEW "%s\n", (int)successor, anew);
  log_info("upgrade: " ANEW "%s", anew);
  free(anew);
  return text;
}

static void on_upgrade_ended(struct server *s, pid_t successor, const char *why) {
  CHECK(s->phase == PHASE_UPGRADING);
  char *text = why ? why_text("upgrade: %s\nthis process goes on\n", why) : tell_success(s, successor);
  handover_free(s->handover);
  s->handover = NULL;
  command_ended(s->command, WAITS_FOR_UPGRADE, !why, text);
  free(text);
  if (why) {
    kept_caches_disown(s->registry);
    go_on(s, why);
    return;
  }
  server_hand_over_files(s);
  if (s->reload_again) kill(successor, SIGHUP); /* it may have read the policy before that was asked for */
  server_retire(s);
}

bool server_upgrade(struct server *s, char **why) {
  const char *obstacle = server_refusal(s, DEMAND_UPGRADE);
  if (obstacle) return why_say(why, "%s", obstacle);
  if (getpid() == 1)
    return why_say(why,
                   "the end of process 1 would end the container, and the new process with it; start a new "
                   "container instead");
  log_info("upgrade: starting a successor");
  unsigned timeout_ms = config_number(s->options->config, CONFIG_upgrade_timeout);
  s->handover = handover_start(s, s->options->arguments, timeout_ms, on_upgrade_ended, why);
  if (s->handover) server_enter(s, PHASE_UPGRADING);
  return s->handover != NULL;
}
