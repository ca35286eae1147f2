// SPDX-License-Identifier: Apache-2.0
// mailbox: how work moves between workers (invariant I1): a message is put under a short lock, the receiver's
// loop is woken, and runs it in its own thread. Messages of one sender arrive in order.
#ifndef PERILUNE_RUNTIME_MAILBOX_H
#define PERILUNE_RUNTIME_MAILBOX_H

#include <ev.h>
#include <pthread.h>
#include <stdbool.h>

/* Embedded first in the sender's own struct, which is one piece of malloc; belongs to the receiver once posted,
 * whose run() frees it. */
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
  bool closed; /* the receiver has ended */
};

void mailbox_init(struct mailbox *box, struct ev_loop *loop, void *receiver);
/* Thread-safe. After mailbox_stop the message is freed unread: what it carries must be nothing to release, and
 * nobody may count on an answer. The memory of the box itself must stay. */
void mailbox_post(struct mailbox *box, struct message *message);
/* Runs what is left, in the receiver's thread, and stops; the loop is not touched any more. */
void mailbox_stop(struct mailbox *box);

#endif
