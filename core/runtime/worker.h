// SPDX-License-Identifier: Apache-2.0
// worker: one thread with its own loop, its own policy VM and its own connections (invariant I1). The control
// worker is one more, without listeners, and runs in the process's first thread.
//
// Life: worker_init -> worker_start (its thread runs) -> worker_switch (a generation with its listeners,
// again and again) -> worker_stop -> worker_join. Everything behind the mailbox happens in the worker's
// thread.
#ifndef PERILUNE_RUNTIME_WORKER_H
#define PERILUNE_RUNTIME_WORKER_H

#include "base/check.h"
#include "net/listener.h"
#include "net/mailbox.h"
#include "exchange/proxy.h"
#include "exchange/shadow.h"
#include "runtime/instance.h"
#include "shared/profile.h"

struct switch_order;
struct worker;

/* A service with this worker's socket. */
struct worker_listener {
  struct listener listener; /* first: on_accept gets it */
  struct service service;
  struct reaped reaped;
  struct worker *worker;    /* borrowed */
  struct list lent_sockets; /* sockets of other workers for the same address (worker_lending.c) */
  bool is_managed;          /* the service manager listens there, too */
};

#define WORKER_MAGIC 0x3052ce21u

struct worker {
  OBJ_MAGIC;
  pthread_t thread;
  struct ev_loop *loop; /* owned */
  struct mailbox mailbox;
  struct proxy proxy;
  struct policy_host host;
  struct instance *instance;          /* owned: the one in force; NULL before the first */
  struct instance *canary;            /* owned; NULL: none is tried */
  struct instance *shadow;            /* owned; NULL: none is tried */
  struct shadow_report report;        /* of the shadow */
  struct worker_listener **listeners; /* owned array of owned: in the order of the policy's */
  unsigned listener_count;
  struct switch_order *wanted; /* owned, under the lock: what it is to go over to; NULL: it has */
  pthread_mutex_t wanted_lock;
  const struct instance *tried; /* the control worker's note: the canary that it last gave to this worker */
  struct list retired;          /* instances that are still in use */
  unsigned drain_ms;            /* after which that is reported */
  struct timer grace;
  struct profile *profile;                /* owned; while one is made (worker_profile.c) */
  bool told_lost;                         /* of the policy in force, by on_lost */
  bool ends_at_once;                      /* what is cut was to be cut: no warning */
  void (*on_lost)(struct worker *worker); /* its policy is to be loaded again; in its thread; may be NULL */
  void (*on_switched)(struct worker *worker); /* called in its thread; may be NULL */
  /* The answer to worker_tally, in its thread: of the policy in force, and of the canary. */
  void (*on_tally)(struct worker *worker, unsigned trial, const struct policy_tally *in_force,
                   const struct policy_tally *canary);
  /* The end of a shadow, in its thread. */
  void (*on_report)(struct worker *worker, unsigned trial, const struct shadow_report *report);
  /* The answers to worker_begin_profile (`profile` is NULL) and to worker_end_profile, in its thread: the profile
   * passes over; NULL: none was begun. */
  void (*on_profile)(struct worker *worker, unsigned number, struct profile *profile);
  void (*on_record_end)(struct worker *worker,
                        uint64_t number);  /* the answer to worker_end_record, in its thread */
  void (*on_ended)(struct worker *worker); /* called in its thread, right before it ends; may be NULL */
  void *owner;
};

/* Where one of a generation's listeners comes from. */
struct worker_service {
  int kept;                /* index among the listeners in force, whose socket goes on; -1: a new one */
  int fd;                  /* of a new one; passes over */
  struct tls_context *tls; /* reference passes over; NULL: plain */
  struct traffic *traffic; /* borrowed from the metrics */
  struct census *census;   /* likewise */
  bool is_managed;         /* the service manager listens there, too */
  bool is_faulty;          /* it has no certificates, and closes all connections */
  char address[ADDR_TEXT];
};

/* How long it has for its end: for exchanges, for background work (both 0: at once), and what idle connections get of
 * it (proxy_stop). */
struct worker_end {
  unsigned grace_ms, background_ms, patience_ms;
  bool hands_over; /* its sockets are a successor's as well */
};

/* Proxy and mailbox for worker->loop, which is set (loop_open) and belongs to the worker from now on; `host` gets their
 * addresses. */
void worker_init(struct worker *worker, const struct policy_host *host);
/* 0, or errno's number for why there is no thread. */
int worker_start(struct worker *worker);
/* Puts a generation in force, with services[] in the order of its listeners; copied. Listeners in force that
 * are not kept are closed, after what the kernel has queued for them was accepted. on_switched follows, unless another
 * generation is wanted before the worker has come back to its loop: then it goes over to that one. From the control
 * worker's thread. */
void worker_switch(struct worker *worker, struct instance *instance, const struct worker_service *services,
                   unsigned count);
/* Gives `share` of 10,000 new exchanges to `instance` beside the one in force, whose listeners must be the
 * same, in any order
 * (`order[i]`: the index there of the i-th in force; copied). Both tallies start at 0. worker_switch with
 * that instance makes it the one in force; worker_drop_canary retires it. */
void worker_try(struct worker *worker, struct instance *instance, const unsigned *order, unsigned count,
                unsigned share);
void worker_drop_canary(struct worker *worker);
/* on_tally follows, with the same number. */
void worker_tally(struct worker *worker, unsigned trial);
/* Tries `instance` in the shadow of the one in force (exchange/shadow.h), `order` as in worker_try. */
void worker_shadow(struct worker *worker, struct instance *instance, const unsigned *order, unsigned count);
/* on_report follows, with the same number. */
void worker_end_shadow(struct worker *worker, unsigned trial);
/* Makes a profile of the policy in force, from when on_profile is called until it is asked for it; on_profile follows
 * again then, with that number. (worker_profile.c) */
void worker_begin_profile(struct worker *worker, unsigned number, enum profile_of of);
void worker_end_profile(struct worker *worker, unsigned number);
/* Records as `with` says (exchange/recorder.h), which is copied, until worker_end_record with the same number, which
 * on_record_end answers. (worker_record.c) */
void worker_record(struct worker *worker, const struct recorder *with);
void worker_end_record(struct worker *worker, const struct recorder *with);
/* In its thread, at its end: nobody will ask for it. */
void worker_drop_recorder(struct worker *worker);
void worker_drop_profile(struct worker *worker);
/* For the files of worker: retires an instance; ends what is tried, unless it is the one that comes into force; posts
 * a message without contents. */
void worker_retire(struct worker *worker, struct instance *instance);
void worker_end_trials(struct worker *worker, const struct instance *in_force);
void worker_post(struct worker *worker, void (*receive)(struct message *message, void *receiver));
/* The worker accepts for worker `of` as well, from fds[], in the order of the listeners of that generation (-1: not of
 * this one), which pass over: until it gives them back, or its own listener of the same address ends. From the control
 * worker's thread, behind the order to go over to that generation. (worker_lending.c) */
void worker_lend(struct worker *worker, unsigned of, unsigned generation, const int *fds, unsigned count);
void worker_return(struct worker *worker, unsigned of);
/* For the files of worker, with the listener that they belong to: accept again after a pause; take what is queued; end,
 * and `shuts` the sockets, which nobody will listen on any more. */
void lent_sockets_resume(struct worker_listener *own);
void lent_sockets_drain(struct worker_listener *own);
void lent_sockets_end(struct worker_listener *own, bool shuts);
/* Closes the connections whose exchanges still run on an older generation. */
void worker_close_old(struct worker *worker);
/* Ends it: after its exchanges, its background work, and what is queued for its sockets, but within what `end` says.
 * Thread-safe, also when it has ended. */
void worker_stop(struct worker *worker, const struct worker_end *end);
/* In its thread: no new background work begins; what is under way is cut after `ms`. */
void worker_wind_down(struct worker *worker, unsigned ms);
/* Likewise: cuts all that is under way, of older generations too; says how much that was. */
void worker_cut_background(struct worker *worker);
void worker_join(struct worker *worker);
/* Frees everything when its loop has ended, in the worker's thread or after it. */
void worker_free(struct worker *worker);

#endif
