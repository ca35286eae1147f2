// SPDX-License-Identifier: Apache-2.0
// reload: the next generation of the policy: loaded for all workers, with the listeners it asks for, and put
// in force.
#ifndef PERILUNE_RUNTIME_RELOAD_H
#define PERILUNE_RUNTIME_RELOAD_H

#include "runtime/config.h"
#include "runtime/instance.h"
#include "runtime/listening.h"

struct registry;
struct server;
struct first_load;

struct generation {
  struct instance **instances; /* owned array of owned: one for each worker, the control worker's last */
  struct listening *listening; /* owned */
  struct config config;        /* owned: what the policy configures */
  struct registry *registry;   /* reference: its stage, or a root of its own */
  struct tls_refresh *tls;     /* owned: peers' certificates that have changed */
  char *findings;              /* owned: what a look at the policy has found; NULL: nothing */
};

/* The callback owns what was loaded. NULL: `why` (borrowed) says what failed, and nothing has changed; or the process
 * stops, and much of the server has gone: then only `owner` is to be let go. */
typedef void generation_done(struct server *server, struct generation *generation, const char *why,
                             void *owner);

/* Begins everything that can fail, with shared objects from `registry`, which passes over; `done` follows in the
 * control thread. Not while another load is under way. False: *why is a malloc'd message, and nothing has begun. */
bool generation_load(struct server *server, struct registry *registry, generation_done *done, void *owner,
                     char **why);
/* The same at once, before anything serves, with what the first run has loaded. NULL: *why is malloc'd. */
struct generation *generation_load_now(struct server *server, struct first_load *first, char **why);
/* For each listener in force: its index among the generation's, which must be the same. Malloc'd. */
unsigned *generation_order(const struct generation *generation);
/* Does it listen exactly where the one in force does? */
bool generation_keeps_listeners(const struct server *server, const struct generation *generation);
/* Merges its shared objects into those in force. The workers switch soon after; frees the struct. */
void generation_put_in_force(struct server *server, struct generation *generation);
/* What was asked for (a "reload", "canary", "shadow") is not loaded, for that reason: it is logged, and told to the
 * client that waits. */
void generation_refuse(struct server *server, const char *what, const char *why);
/* One that was not put in force. */
void generation_free(struct generation *generation, unsigned workers);

#endif
