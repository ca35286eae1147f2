// SPDX-License-Identifier: Apache-2.0
// offload: threads for what would hold a worker up: what may wait for a disk (opening a file, reading what is not in
// the page cache), and the check of passwords, which takes a tenth of a second of a core by design. Each kind has a
// pool of its own, so that sign-ins do not wait for a disk, nor files for sign-ins. A job goes there, runs, and comes
// back to its worker's mailbox. The queues are bounded; who finds one full does without.
//
// Jobs with the same key are one: the first one runs, and the others follow it, of whichever workers they are. They
// take over its result, and take its place if it is taken back.
#ifndef PERILUNE_NET_OFFLOAD_H
#define PERILUNE_NET_OFFLOAD_H

#include "net/mailbox.h"

enum offload { OFFLOAD_DISK, OFFLOAD_PASSWORDS };
enum { OFFLOAD_COUNT = OFFLOAD_PASSWORDS + 1 };

enum { OFFLOAD_KEY = 32 };

/* Embedded first in the sender's own struct. It belongs to the pool from offload_submit until `done`. */
struct offload_job {
  struct message message;               /* first */
  struct mailbox *home;                 /* borrowed: the worker's, where it comes back */
  void (*run)(struct offload_job *job); /* in a thread of the pool */
  /* In such a thread: takes over the result of the one that has run. NULL: the job has no key. */
  void (*share)(struct offload_job *job, const struct offload_job *done);
  unsigned char key[OFFLOAD_KEY];
  bool follows;                  /* since offload_submit, an equal one that was under way */
  struct offload_job *followers; /* of the one that waits or runs; linked by `next` */
  void (*done)(
      struct offload_job *job); /* in the worker's thread; frees it. It may not have run: the process ends */
  struct offload_job *next;
};

/* False: too many wait already, no thread can be had, or the worker ends; the job stays the caller's. */
bool offload_submit(enum offload kind, struct offload_job *job);
/* Takes back a job that nobody wants any more. False: it runs already, and will come back. */
bool offload_withdraw(enum offload kind, struct offload_job *job);
/* The worker of this mailbox ends, and is about to close it: what waits comes back without having run, and what runs is
 * waited for, for a moment. What is still in a call then (a dead NFS server) is left as it is, and never comes back. */
void offload_leave(struct mailbox *home);
/* Ends the threads. Before the process ends, once all workers have left. */
void offload_stop(void);

#endif
