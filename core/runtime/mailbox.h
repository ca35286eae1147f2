// SPDX-License-Identifier: Apache-2.0
// mailbox: how work moves between workers (invariant I1): a message is put under a short lock, the receiver's
// loop is woken, and runs it in its own thread. Messages of one sender arrive in order.
#ifndef PERILUNE_RUNTIME_MAILBOX_H
#define PERILUNE_RUNTIME_MAILBOX_H

#include <ev.h>
#include <pthread.h>

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
};

void mailbox_init(struct mailbox *box, struct ev_loop *loop, void *receiver);
/* Thread-safe. The box must be alive: post only to workers that have not ended. */
void mailbox_post(struct mailbox *box, struct message *message);
/* Runs what is left, in the receiver's thread, and stops. */
void mailbox_stop(struct mailbox *box);

#endif
