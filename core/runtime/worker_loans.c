// SPDX-License-Identifier: Apache-2.0
// worker_loans: a worker accepts for another one that does not come back to its loop. Each loan is a descriptor of its
// own for the other worker's listening socket, made by the control worker and closed here; so neither of the two can
// use what the other has closed. It belongs to our listener of the same address: what it accepts is that listener's
// connection in every respect (policy, TLS, counts, limits), and it ends with it.
//
// Where a listener ends while its socket is on loan, its owner will not look after what the kernel queues there: so the
// socket itself is shut down, behind what is queued already.
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/check.h"
#include "base/memory.h"
#include "proxy/downstream.h"
#include "proxy/room.h"
#include "runtime/worker.h"

struct loan {
  struct listener listener; /* first: its callbacks get it */
  struct list link;         /* in own->loans */
  struct worker_listener *own;
  unsigned of; /* the worker whose socket it is */
};

static void on_accept(struct listener *l, int fd, const struct sockaddr *client, socklen_t length) {
  struct worker_listener *own = ((struct loan *)l)->own;
  downstream_new(&own->worker->proxy, &own->service, fd, client, length);
}

static bool may_accept(struct listener *l, bool must) {
  struct worker_listener *own = ((struct loan *)l)->own;
  return room_for_client(&own->worker->proxy, &own->service, must);
}

static void on_vain(struct listener *l) { room_for_nobody(&((struct loan *)l)->own->service); }

static void end(struct loan *loan) {
  list_remove(&loan->link);
  listener_stop(&loan->listener);
  free(loan);
}

/* --- with the listener that they belong to ------------------------------------------------------------------ */

void loans_resume(struct worker_listener *own) {
  LIST_EACH(node, &own->loans) listener_resume(&LIST_ENTRY(node, struct loan, link)->listener);
}

void loans_drain(struct worker_listener *own) {
  LIST_EACH(node, &own->loans) listener_drain(&LIST_ENTRY(node, struct loan, link)->listener);
}

void loans_end(struct worker_listener *own, bool shuts) {
  while (!list_is_empty(&own->loans)) {
    struct loan *loan = LIST_ENTRY(own->loans.next, struct loan, link);
    if (shuts) shutdown(loan->listener.fd, SHUT_RD);
    end(loan);
  }
}

/* --- lent --------------------------------------------------------------------------------------------------- */

struct loan_message {
  struct message message;
  unsigned generation, of, count;
  int fds[]; /* owned; -1: none */
};

static void close_all(const struct loan_message *order) {
  for (unsigned i = 0; i < order->count; i++)
    if (order->fds[i] >= 0) close(order->fds[i]);
}

static struct loan *find(const struct worker_listener *own, unsigned of) {
  LIST_EACH(node, &own->loans) {
    struct loan *loan = LIST_ENTRY(node, struct loan, link);
    if (loan->of == of) return loan;
  }
  return NULL;
}

static void begin(struct worker_listener *own, unsigned of, int fd) {
  struct loan *loan = memory_zalloc(sizeof *loan);
  loan->own = own;
  loan->of = of;
  loan->listener.may_accept = may_accept;
  loan->listener.on_vain = on_vain;
  list_push_back(&own->loans, &loan->link);
  listener_start(&loan->listener, own->worker->loop, fd, on_accept);
}

/* Of another generation: a newer order has overtaken this one, whose sockets are lent behind it. */
static void on_lend(struct message *message, void *receiver) {
  struct loan_message *order = (struct loan_message *)message;
  struct worker *worker = receiver;
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
  struct loan_message *order = memory_alloc(sizeof *order + count * sizeof *fds);
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

static void on_give_back(struct message *message, void *receiver) {
  const struct loan_message *order = (struct loan_message *)message;
  struct worker *worker = receiver;
  for (unsigned i = 0; i < worker->listener_count; i++) {
    struct loan *loan = find(worker->listeners[i], order->of);
    if (loan) end(loan);
  }
  free(message);
}

void worker_give_back(struct worker *worker, unsigned of) {
  struct loan_message *order = memory_zalloc(sizeof *order);
  order->message.run = on_give_back;
  order->of = of;
  mailbox_tell(&worker->mailbox, &order->message);
}
