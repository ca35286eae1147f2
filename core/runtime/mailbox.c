// SPDX-License-Identifier: Apache-2.0
// mailbox: a linked list behind a mutex that is held for a few instructions, and an ev_async. The hard problem is
// the end: who posts cannot know that the receiver has ended a moment ago. So the box outlives its loop, closed.
#include "runtime/mailbox.h"

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
  box->closed = false;
  box->receiver = receiver;
  box->first = NULL;
  box->last = &box->first;
  pthread_mutex_init(&box->lock, NULL);
  ev_async_init(&box->wake, on_wake);
  ev_async_start(loop, &box->wake);
}

void mailbox_post(struct mailbox *box, struct message *message) {
  message->next = NULL;
  pthread_mutex_lock(&box->lock);
  bool closed = box->closed;
  if (!closed) {
    *box->last = message;
    box->last = &message->next;
    ev_async_send(box->loop, &box->wake);
  }
  pthread_mutex_unlock(&box->lock);
  if (closed) free(message);
}

void mailbox_stop(struct mailbox *box) {
  run_all(box);
  pthread_mutex_lock(&box->lock);
  box->closed = true;
  pthread_mutex_unlock(&box->lock);
  run_all(box); /* what came in between */
  ev_async_stop(box->loop, &box->wake);
}
