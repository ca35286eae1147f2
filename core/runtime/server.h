// SPDX-License-Identifier: Apache-2.0
// server: the state of the process for all parts of runtime/: its workers, its listeners, the generation in force,
// and the current operation. process.c starts and ends it. Parts that only one file uses are declared
// here, before it, so that those files and this one need not include each other.
#ifndef PERILUNE_RUNTIME_SERVER_H
#define PERILUNE_RUNTIME_SERVER_H

#include <ev.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "runtime/config.h"
#include "runtime/deploy/ancestors.h"
#include "runtime/listening.h"
#include "runtime/observe/reload_log.h"
#include "runtime/options.h"
#include "runtime/phase.h"
#include "runtime/pid_file.h"
#include "runtime/worker.h"

struct admin;
struct canary;
struct command_server;
struct debugging;
struct dryrun;
struct environment;
struct handover;
struct loader;
struct logs;
struct metrics;
struct profiling;
struct request_recording;
struct heartbeat;
struct registry;
struct stamps;
struct tracers;
struct watch;

/* deploy/switching.h */
struct switching {
  struct timer timer;
  unsigned *reached; /* owned array: the generation that each worker has in force */
  bool awaited;      /* somebody waits for the outcome */
};

/* lending.h */
struct lending {
  int *helpers; /* owned array, for each worker: who accepts for it; -1: nobody */
};

/* deploy/emergency.h */
struct emergency {
  struct timer timer;  /* the next try */
  unsigned wait_ms;    /* before it */
  unsigned generation; /* the one that is to be replaced */
  uint64_t last_ms;    /* when a try was last begun; 0: never */
};

/* signals.h */
struct signals {
  ev_async wake;
  struct server *server; /* borrowed */
  pthread_t guard;
  bool is_guarded;
  atomic_uint ended; /* workers, counted by themselves */
};

enum { REFUSAL_BYTES = 512 };

struct server {
  const struct server_options *options; /* borrowed */
  struct registry *registry;            /* owned */
  struct metrics *metrics;              /* owned */
  struct heartbeat *heartbeat;          /* owned */
  struct environment *environment;      /* owned */
  struct logs *logs;                    /* owned */
  struct tracers *tracers;              /* owned: who looks on */
  struct admin *admin;                  /* owned; NULL without --admin */
  struct debugging *debugging;          /* owned; NULL without --break */
  struct reload_log reload_log;         /* of reloads */
  struct worker control;
  struct worker *workers;    /* owned array */
  struct siblings *siblings; /* owned; NULL where one worker has nobody to ask */
  unsigned worker_count, running;
  struct listening *listening;    /* owned: what the generation in force listens on */
  unsigned generation;            /* number of the one in force; 0: none yet */
  struct switching switching;     /* which workers have it in force */
  struct lending lending;         /* who accepts for whom */
  struct watch *watch;            /* owned; NULL without --watch */
  struct command_server *command; /* owned; NULL where it could not be opened */
  struct moment started, reloaded;
  struct stamps *files;                /* owned: of the policy in force */
  char *changes;                       /* owned: lines, of the last reload */
  bool reload_again;                   /* asked for while one was under way */
  struct loader *loader;               /* its own; while a generation is loaded */
  bool load_is_strict;                 /* the load under way: what a look at the policy finds refuses it */
  bool load_aborted;                   /* it is to be dropped; until the client that asked for it was told */
  struct canary *canary;               /* owned; while one is tried */
  struct dryrun *dryrun;               /* owned; while a policy is tried in the shadow */
  struct request_recording *recording; /* its own; while requests are recorded */
  struct profiling *profiling;         /* its own; while a profile is made */
  struct handover *handover;           /* owned; while a successor starts */
  enum phase phase;                    /* changed by server_enter alone */
  struct moment phase_since;
  char refusal[REFUSAL_BYTES]; /* what server_refusal has said last */
  struct timer watchdog, overdue;
  struct emergency emergency; /* of the policy's VMs */
  bool handed_over;           /* a successor serves, or is said to: what is shared with it is not shut down */
  struct pid_file pid_file;
  struct ancestors ancestors;
  struct signals signals;
  struct timer log_level_back; /* steer/log_level.h; set: the configured level is back then */
};

/* Loads the next generation for all workers, opens what it listens on in addition, and puts it in force everywhere; or
 * changes nothing. Begins that, if there is no obstacle; the outcome is logged and told to the client that waits on the
 * command socket. (reload.c) */
void server_reload(struct server *server);
/* Stops all workers: gracefully, or at once. NULL, or why that is no news. (stopping.c) */
const char *server_stop(struct server *server, bool now);
/* Starts a successor with our listeners; we drain once it serves, and go on if it does not. The outcome is
 * logged and told to the client that waits on the command socket. False: *why is a malloc'd message. (upgrade.c) */
bool server_upgrade(struct server *server, char **why);
/* For the files of runtime/ that end it (stopping.c): before the workers start; told by a worker's thread at its end;
 * and the end of the process without what is stuck, from any thread. */
void server_prepare_end(struct server *server);
void server_worker_ended(struct worker *worker);
void server_leave(struct server *server) __attribute__((noreturn));
/* The files of our sockets, those of listeners, commands and status page (runtime/socket_file.h): what a predecessor
 * handed over is ours, what is ours is a successor's; at the end they go, from any thread. (stopping.c) */
void server_adopt_files(struct server *server);
void server_hand_over_files(struct server *server);
void server_remove_files(struct server *server);
/* Drains: a successor serves. NULL, or why not. (stopping.c) */
const char *server_retire(struct server *server);
/* Goes over to another phase: the one place that does. (process.c) */
void server_enter(struct server *server, enum phase phase);
/* Why that cannot be done now, since when, and what ends that: valid until it is called again; NULL: it can be done.
 * Control thread. (process.c) */
const char *server_refusal(struct server *server, enum demand demand);
/* All workers have the first generation in force: the process that started us is told. (process.c) */
void server_begin_to_serve(struct server *server);
/* Makes up for a reload that was asked for while there was an obstacle, which has gone. (reload.c) */
void server_reload_queued(struct server *server);
/* As server_reload, for somebody who does not wait: logs the outcome; queued while another is under way. */
void server_request_reload(struct server *server);

#endif
