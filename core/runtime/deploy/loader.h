// SPDX-License-Identifier: Apache-2.0
// loader: loads a generation's instances in a thread of its own, so that timers, health checks, the admin page and
// commands go on however long the policy's main chunks run. No other thread uses its results before it has ended; what
// it reads from the server (options, hosts of the workers) does not change while the server lives.
#ifndef PERILUNE_RUNTIME_LOADER_H
#define PERILUNE_RUNTIME_LOADER_H

#include <time.h>

#include "runtime/config.h"
#include "runtime/instance.h"

struct loader;
struct registry;
struct server;

struct loaded {
  struct instance *
      *instances;       /* owned array of owned: one for each worker, the control worker's last; NULL: why */
  struct config config; /* owned, where there are instances: what the policy configures */
  struct tls_refresh *tls; /* owned, where there are instances: peers' certificates that have changed */
  char *findings; /* owned: what a look at the policy has found (runtime/deploy/findings.h); NULL: nothing */
  char *why;      /* owned; NULL where there are instances */
};

/* What the first run of the process has loaded, before it was known how many workers there are. It is the check of the
 * policy, and becomes the control worker's instance. */
struct first_load {
  struct instance *instance; /* owned; NULL: none, or it was passed on */
  struct registry *registry; /* reference: the stage that it was loaded in */
  struct timespec begun;     /* before it was read */
};

/* What was not passed on. */
void first_load_free(struct first_load *first);

/* `loaded` passes over but for the struct itself. */
typedef void loader_done(struct server *server, struct loaded *loaded, void *owner);

/* Begins; `done` follows in the control thread, with `owner`. NULL: *why is malloc'd, and there is no thread. */
struct loader *loader_start(struct server *server, struct registry *registry, loader_done *done, char **why);
/* The same at once, in the calling thread, with what the first run has loaded. */
void loader_run(struct server *server, struct registry *registry, struct first_load *first,
                struct loaded *loaded);
/* Handed to `done`; set between loader_start and the next turn of the loop. */
void loader_set_owner(struct loader *loader, void *owner);
#define LOADER_ABORTED "ended by 'perilune reload --abort'"
/* The process stops: what was loaded is freed, and `done` gets nothing. Interrupts the main chunk that runs, waits for
 * nothing. NULL is fine. */
void loader_abandon(struct loader *loader);
/* Nobody wants what is being loaded, and the proxy goes on: `done` follows soon, with LOADER_ABORTED as its reason.
 * The client that waits is told if it cannot be ended, because it is blocked in a call. Harmless when repeated. */
void loader_abort(struct loader *loader);
/* At the end of the process: the same, and waits a moment for the thread, whose message is in the control worker's
 * mailbox then: `done` is called when that is closed, and by then much of the server has gone. False: it is blocked in
 * a call and still uses the server, which must not be freed. NULL is fine. */
bool loader_end(struct loader *loader);

#endif
