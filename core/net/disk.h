// SPDX-License-Identifier: Apache-2.0
// disk: a few threads for what may wait for a disk (opening a file, reading what is not in the page cache), so that no
// worker does. A job goes there, runs, and comes back to its worker's mailbox. The queue is bounded; who finds it full
// does without.
#ifndef PERILUNE_NET_DISK_H
#define PERILUNE_NET_DISK_H

#include "net/mailbox.h"

enum { DISK_THREADS = 4, DISK_QUEUE_MOST = 1024 };

/* Embedded first in the sender's own struct. */
struct disk_job {
  struct message message;             /* first */
  struct mailbox *home;               /* borrowed: the worker's, of whom it is told when it is done */
  void (*run)(struct disk_job *job);  /* in a thread of the pool */
  void (*done)(struct disk_job *job); /* in the worker's thread; frees it */
  void (*lost)(struct disk_job *job); /* the worker has ended: frees it, in any thread */
  struct disk_job *next;
};

/* False: too many wait already, or no thread can be had; the job stays the caller's. */
bool disk_submit(struct disk_job *job);
/* Ends the threads; what waits is lost. Before the process ends, once workers have. */
void disk_stop(void);

#endif
