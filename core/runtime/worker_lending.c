// SPDX-License-Identifier: Apache-2.0
// worker_lending: the worker's part of runtime/lending: it accepts for another worker that is blocked. A lent socket
// is a copy of the descriptor of the other worker's listening socket, made by the control worker and closed here, so
// neither of the two can use what the other has closed. It belongs to our listener of the same address: what it
// accepts is that listener's connection in every respect (policy, TLS, counts, limits), and it ends with it.
//
// If a listener ends while its socket is lent, its owner no longer accepts what the kernel queues there: so the
// socket itself is shut down after the queued connections were accepted. A socket of the service manager is not shut
// down, since the manager may pass it to another process.
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/memory.h"
#include "downstream/downstream.h"
#include "exchange/room.h"
#include "runtime/worker.h"

struct lent_socket {
  struct listener listener; /* first: its callbacks get it */
  struct list link;         /* in own->lent_sockets */
  struct worker_listener *own;
  unsigned of; /* the worker whose socket it is */
};

static void on_accept(struct listener *l, int fd, const struct sockaddr *client, socklen_t length) {
  struct worker_listener *own = ((struct lent_socket *)l)->own;
  downstream_new(&own->worker->proxy, &own->service, fd, client, length);
}

static bool may_accept(struct listener *l, bool must) {
  struct worker_listener *own = ((struct lent_socket *)l)->own;
  return room_for_client(&own->worker->proxy, &own->service, must);
}

static void on_vain(struct listener *l) { room_for_nobody(&((struct lent_socket *)l)->own->service); }

static void end(struct lent_socket *lent) {
  list_remove(&lent->link);
  listener_stop(&lent->listener);
  free(lent);
}

/* --- with the listener that they belong to ------------------------------------------------------------------ */

void lent_sockets_resume(struct worker_listener *own) {
  LIST_EACH(node, &own->lent_sockets) listener_resume(&LIST_ENTRY(node, struct lent_socket, link)->listener);
}

void lent_sockets_drain(struct worker_listener *own) {
  LIST_EACH(node, &own->lent_sockets) listener_drain(&LIST_ENTRY(node, struct lent_socket, link)->listener);
}

void lent_sockets_end(struct worker_listener *own, bool shuts) {
  while (!list_is_empty(&own->lent_sockets)) {
    struct lent_socket *lent = LIST_ENTRY(own->lent_sockets.next, struct lent_socket, link);
    if (shuts && !own->is_managed) shutdown(lent->listener.fd, SHUT_RD);
    end(lent);
  }
}

/* --- lent --------------------------------------------------------------------------------------------------- */

struct lending_order {
  struct message message;
  unsigned generation, of, count;
  int fds[]; /* owned; -1: none */
};

static void close_all(const struct lending_order *order) {
  for (unsigned i = 0; i < order->count; i++)
    if (order->fds[i] >= 0) close(order->fds[i]);
}

static struct lent_socket *find(const struct worker_listener *own, unsigned of) {
  LIST_EACH(node, &own->lent_sockets) {
    struct lent_socket *lent = LIST_ENTRY(node, struct lent_socket, link);
    if (lent->of == of) return lent;
  }
  return NULL;
}

static void begin(struct worker_listener *own, unsigned of, int fd) {
  struct lent_socket *lent = memory_zalloc(sizeof *lent);
  lent->own = own;
  lent->of = of;
  lent->listener.may_accept = may_accept;
  lent->listener.on_vain = on_vain;
  list_push_back(&own->lent_sockets, &lent->link);
  listener_start(&lent->listener, own->worker->loop, fd, on_accept);
}

/* Of another generation: a newer order has overtaken this one, whose sockets are lent behind it. */
static void on_lend(struct message *message, void *receiver) {
  struct lending_order *order = (struct lending_order *)message;
  struct worker *worker = receiver;
  CHECK_OBJ(worker, WORKER_MAGIC);
  if (!worker->instance || worker->instance->generation != order->generation) {
    close_all(order);
    free(message);
    return;
  }
  CHECK(order->count == worker->listener_count && order->of != worker->host.worker);
  for (unsigned i = 0; i < order->count; i++) {
    struct worker_listener *own = worker->listeners[i];
    if (order->fds[i] < 0) continue;
    if (own->listener.fd < 0 || find(own, order->of)) /* we stop; or it is a kept one */
      close(order->fds[i]);
    else
      begin(own, order->of, order->fds[i]);
  }
  free(message);
}

void worker_lend(struct worker *worker, unsigned of, unsigned generation, const int *fds, unsigned count) {
  struct lending_order *order = memory_alloc(sizeof *order + count * sizeof *fds);
  order->message.run = on_lend;
  order->generation = generation;
  order->of = of;
  order->count = count;
  for (unsigned i = 0; i < count; i++) order->fds[i] = fds[i];
  if (mailbox_post(&worker->mailbox, &order->message)) return;
  close_all(order);
  free(order);
}

/* --- given back --------------------------------------------------------------------------------------------- */

static void on_return(struct message *message, void *receiver) {
  const struct lending_order *order = (struct lending_order *)message;
  struct worker *worker = receiver;
  CHECK_OBJ(worker, WORKER_MAGIC);
  for (unsigned i = 0; i < worker->listener_count; i++) {
    struct lent_socket *lent = find(worker->listeners[i], order->of);
    if (lent) end(lent);
  }
  free(message);
}

void worker_return(struct worker *worker, unsigned of) {
  struct lending_order *order = memory_zalloc(sizeof *order);
  order->message.run = on_return;
  order->of = of;
  mailbox_tell(&worker->mailbox, &order->message);
}
