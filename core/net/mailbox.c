// SPDX-License-Identifier: Apache-2.0
// mailbox: a linked list behind a mutex that is held for a few instructions, and an ev_async. The hard problem is
// the end: a sender cannot know that the receiver has just ended. So the mailbox is closed, but outlives its loop.
#include "net/mailbox.h"

#include "base/check.h"

#include <stdlib.h>

static struct message *take_all(struct mailbox *box) {
  pthread_mutex_lock(&box->lock);
  struct message *first = box->first;
  box->first = NULL;
  box->last = &box->first;
  pthread_mutex_unlock(&box->lock);
  return first;
}

static void run_all(struct mailbox *box) {
  for (struct message *message = take_all(box), *next; message; message = next) {
    next = message->next;
    message->run(message, box->receiver);
  }
}

static void on_wake(struct ev_loop *loop, ev_async *watcher, int events) {
  (void)loop, (void)events;
  run_all((struct mailbox *)watcher);
}

void mailbox_init(struct mailbox *box, struct ev_loop *loop, void *receiver) {
  box->loop = loop;
  box->receiver = receiver;
  box->first = NULL;
  box->last = &box->first;
  box->closed = false;
  pthread_mutex_init(&box->lock, NULL);
  ev_async_init(&box->wake, on_wake);
  ev_async_start(loop, &box->wake);
}

static void put(struct mailbox *box, struct message *message) {
  CHECK(message->run);
  message->next = NULL;
  *box->last = message;
  box->last = &message->next;
  ev_async_send(box->loop, &box->wake);
}

bool mailbox_post(struct mailbox *box, struct message *message) {
  pthread_mutex_lock(&box->lock);
  bool taken = !box->closed;
  if (taken) put(box, message);
  pthread_mutex_unlock(&box->lock);
  return taken;
}

void mailbox_tell(struct mailbox *box, struct message *message) {
  if (!mailbox_post(box, message)) free(message);
}

void mailbox_stop(struct mailbox *box) {
  pthread_mutex_lock(&box->lock);
  CHECK(!box->closed); /* ends once */
  box->closed = true;
  pthread_mutex_unlock(&box->lock);
  run_all(box);
  ev_async_stop(box->loop, &box->wake);
}
