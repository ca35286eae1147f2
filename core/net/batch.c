// SPDX-License-Identifier: Apache-2.0
// batch: the calling thread's ring. A send that must not wait is done, or refused, before io_uring_enter returns, so
// nothing of it outlives batch_send. The hard problem is a ring that takes only a part of what it is given: what it has
// taken is waited for, the rest is sent without it, and there is no ring for a while: what failed may be a shortage.
#include "net/batch.h"

#include <errno.h>
#include <liburing.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"

enum { PAUSE = 10000 };

static _Thread_local struct {
  struct io_uring ring;
  bool open, told;
  unsigned pause; /* so many batches do not try to open one: the last time it was in vain */
} own;

/* That only one thread submits and looks for results lets the kernel do without locks and interrupts. Kernels that do
 * not know it (before 6.1) give no ring. */
static const unsigned setup =
    IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL;

static void close_ring(void) {
  if (own.open) io_uring_queue_exit(&own.ring);
  own.open = false;
}

static __attribute__((cold)) void give_up(int error) {
  if (!own.told) log_info("io_uring: %s; for now each write is sent by itself", strerror(error));
  own.told = true;
  own.pause = PAUSE;
  close_ring();
}

static bool has_ring(void) {
  if (own.open) return true;
  if (own.pause) {
    own.pause--;
    return false;
  }
  int error = io_uring_queue_init(BATCH_MOST, &own.ring, setup);
  own.open = error == 0;
  if (error) give_up(-error);
  return own.open;
}

static void send_one(struct send_call *call) {
  ssize_t put = send(call->socket, call->text, call->bytes, call->flags | MSG_DONTWAIT);
  call->result = put < 0 ? -errno : (int)put;
}

static void send_each(struct send_call *calls, unsigned count) {
  for (unsigned i = 0; i < count; i++) send_one(&calls[i]);
}

/* Of the ring, and not of the socket. */
static bool is_refusal(int result) {
  return result == -EINVAL || result == -EOPNOTSUPP || result == -EPERM || result == -EACCES ||
         result == -ENOMEM;
}

/* A result that never comes is a connection lost. */
static void prepare(struct send_call *calls, unsigned count) {
  for (unsigned i = 0; i < count; i++) {
    struct io_uring_sqe *entry = io_uring_get_sqe(&own.ring);
    io_uring_prep_send(entry, calls[i].socket, calls[i].text, calls[i].bytes, calls[i].flags | MSG_DONTWAIT);
    io_uring_sqe_set_data64(entry, i);
    calls[i].result = -EIO;
  }
}

/* How many are left of `count` that were taken. Of one that was refused, *error says why. */
static unsigned take_results(struct send_call *calls, unsigned count, int *error) {
  struct io_uring_cqe *done;
  unsigned taken = 0, head;
  io_uring_for_each_cqe(&own.ring, head, done) {
    struct send_call *call = &calls[done->user_data];
    call->result = done->res;
    taken++;
    if (!is_refusal(done->res)) continue;
    *error = -done->res;
    send_one(call);
  }
  io_uring_cq_advance(&own.ring, taken);
  return count - taken;
}

/* 0, or why there should be no ring any more. */
static int await_results(struct send_call *calls, unsigned count) {
  int error = 0;
  while ((count = take_results(calls, count, &error))) {
    struct io_uring_cqe *first;
    int failure = io_uring_wait_cqe(&own.ring, &first);
    if (failure && failure != -EINTR && failure != -EAGAIN) return -failure;
  }
  return error;
}

void batch_send(struct send_call *calls, unsigned count) {
  if (count < BATCH_LEAST || !has_ring()) {
    send_each(calls, count);
    return;
  }
  prepare(calls, count);
  int submitted = io_uring_submit_and_wait(&own.ring, count);
  unsigned took = submitted < 0 ? 0 : (unsigned)submitted;
  int error = await_results(calls, took);
  if (took < count) error = submitted < 0 ? -submitted : EBUSY;
  if (error) give_up(error);
  send_each(calls + took, count - took);
}

void batch_thread_end(void) { close_ring(); }
