// SPDX-License-Identifier: Apache-2.0
// instance: a policy as it was loaded for one worker. A generation is one instance per worker, the control
// worker included. An instance that is no longer in force is retired: it lives until the last exchange on it
// has ended.
#ifndef PERILUNE_RUNTIME_INSTANCE_H
#define PERILUNE_RUNTIME_INSTANCE_H

#include "base/check.h"
#include "net/reaper.h"
#include "net/timer.h"
#include "runtime/policy.h"

struct logs;

enum { INSTANCE_MAGIC = 0x1457a4ceu };

struct instance {
  OBJ_MAGIC;
  struct policy_use use; /* counted by the worker's exchanges */
  struct reaped reaped;
  struct list link;                   /* once retired: of the worker's */
  struct reaper *reaper;              /* borrowed: the worker's, once retired */
  const struct policy_source *source; /* borrowed */
  void *policy;                       /* owned */
  struct registry *registry;          /* reference: of its shared objects */
  struct logs *logs;                  /* borrowed: where its listeners' logs are from; NULL: none */
  unsigned generation;
  bool is_bound;
  struct timer old; /* once it winds down: reports that it is still in use, and cuts its background work */
  bool is_winding_down;
  unsigned patience_ms; /* of the last time that it was told to */
};

/* NULL: *why is a malloc'd message. */
struct instance *instance_load(const struct policy_source *source, const struct policy_host *host,
                               unsigned generation, char **why);
/* Loads the certificates and keys of its listeners, or says in their `fault` why not. */
void instance_load_tls(struct instance *instance);
/* Its hooks may run from now on, in this thread. Once more is harmless. */
void instance_bind(struct instance *instance, struct ev_loop *loop, struct proxy *proxy);
/* Names the files of its listeners' certificates that the user that the process has become may not read. */
void instance_warn_of_files(const struct instance *instance, const char *user);
/* Opens what its listeners log to. False: *why is a malloc'd message. */
bool instance_open_logs(struct instance *instance, struct logs *logs, const struct config *config,
                        char **why);
/* Stops its background work; frees it once it is unused, at a safe point of the worker's loop. Until then it is in the
 * list `retired`; that it still is after drain_ms is logged, and ends its background work. */
void instance_retire(struct instance *instance, struct list *retired, struct reaper *reaper,
                     unsigned drain_ms);
/* No new background work begins; what is under way is cut after `ms`. In its worker's thread. */
void instance_wind_down(struct instance *instance, struct ev_loop *loop, unsigned ms);
/* Cuts it now. */
void instance_cut(struct instance *instance);
/* At once; nothing of it may run. NULL is fine. */
void instance_free(struct instance *instance);
/* Of `count` of them, and of the array. */
void instances_free(struct instance **instances, unsigned count);

#endif
