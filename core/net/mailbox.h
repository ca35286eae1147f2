// SPDX-License-Identifier: Apache-2.0
// mailbox: how work moves between workers (invariant I1): a message is added under a short lock; the receiver's
// loop is woken and runs it in its own thread. Messages of one sender arrive in order. Each message that a
// mailbox has accepted is run, at the latest when the mailbox is closed.
#ifndef PERILUNE_NET_MAILBOX_H
#define PERILUNE_NET_MAILBOX_H

#include <ev.h>
#include <pthread.h>
#include <stdbool.h>

/* Embedded first in the sender's own struct; belongs to the receiver once posted, whose run() frees it. */
struct message {
  struct message *next;
  void (*run)(struct message *message, void *receiver);
};

struct mailbox {
  ev_async wake;
  struct ev_loop *loop; /* borrowed: the receiver's */
  void *receiver;       /* borrowed */
  pthread_mutex_t lock;
  struct message *first, **last;
  bool closed;
};

void mailbox_init(struct mailbox *box, struct ev_loop *loop, void *receiver);
/* Thread-safe. False: the receiver has ended, and the message stays the sender's. The struct must be there still;
 * its lock is at rest then, and needs no end of its own. */
bool mailbox_post(struct mailbox *box, struct message *message);
/* The same for a message that is one piece of malloc, has nothing to release and no answer that anybody counts on:
 * where the receiver has ended it is freed. */
void mailbox_tell(struct mailbox *box, struct message *message);
/* Takes no more, and runs what is left, in the receiver's thread. */
void mailbox_stop(struct mailbox *box);

#endif
