// SPDX-License-Identifier: Apache-2.0
// emergency: an automatic reload. A worker whose VM was given up answers 500 until it has another one. So the policy
// is loaded again for all workers, as by any reload, because there is only one policy: the present content of its
// files.
//
// If a policy breaks its VMs repeatedly, the pauses between the reloads grow, up to a minute, until none was needed
// for a while. A reload that is refused is tried again, too.
#include "runtime/deploy/emergency.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/container.h"
#include "base/log.h"
#include "base/memory.h"
#include "net/mailbox.h"
#include "runtime/server.h"

enum { WAIT_FIRST_MS = 1000, WAIT_MOST_MS = 60000, QUIET_MS = 300000 };

static uint64_t now_ms(void) { return clock_now_ms(&clock_system); }

static void put_off(struct emergency *e) {
  unsigned longer = e->wait_ms ? 2 * e->wait_ms : WAIT_FIRST_MS;
  e->wait_ms = longer < WAIT_MOST_MS ? longer : WAIT_MOST_MS;
}

/* The try goes on until another generation is in force, for whatever reason it was loaded. */
static void on_due(struct timer *timer) {
  struct emergency *e = CONTAINER_OF(timer, struct emergency, timer);
  struct server *s = CONTAINER_OF(e, struct server, emergency);
  if (phase_is_over(s->phase) || s->generation != e->generation) return;
  log_warn("generation %u has no sound VM on every worker: it is loaded anew", s->generation);
  e->last_ms = now_ms();
  put_off(e);
  timer_set(&e->timer, e->wait_ms);
  server_request_reload(s);
}

void emergency_init(struct server *s) { timer_init(&s->emergency.timer, s->control.loop, on_due); }
void emergency_stop(struct server *s) { timer_stop(&s->emergency.timer); }

static void on_ask(struct message *message, void *receiver) {
  struct server *s = ((struct worker *)receiver)->owner;
  struct emergency *e = &s->emergency;
  free(message);
  e->generation = s->generation;
  if (phase_is_over(s->phase) || timer_is_set(&e->timer)) return;
  if (!e->last_ms || now_ms() - e->last_ms > QUIET_MS) e->wait_ms = 0;
  timer_set(&e->timer, e->wait_ms);
}

void emergency_ask(struct worker *worker) {
  struct server *s = worker->owner;
  struct message *message = memory_alloc(sizeof *message);
  message->run = on_ask;
  mailbox_tell(&s->control.mailbox, message);
}

void worker_doing(const struct worker *worker, char *text, size_t bytes) {
  const struct server *s = worker->owner;
  const struct policy_kind *kind = s->options->source.kind;
  *text = '\0';
  if (kind->doing) kind->doing(worker->host.worker, text, bytes);
}
