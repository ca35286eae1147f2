// SPDX-License-Identifier: Apache-2.0
// worker_record: a worker's part in a recording. What it takes down goes to the recording's owner piece by piece, in
// this worker's thread.
#include <stdlib.h>

#include "base/memory.h"
#include "exchange/recorder.h"
#include "net/timer.h"
#include "runtime/worker.h"

struct record_order {
  struct message message;
  struct recorder recorder;
};

void worker_drop_recorder(struct worker *worker) {
  free(worker->proxy.recorder);
  worker->proxy.recorder = NULL;
}

static void on_begin(struct message *message, void *receiver) {
  const struct record_order *order = (struct record_order *)message;
  struct worker *worker = receiver;
  CHECK_OBJ(worker, WORKER_MAGIC);
  worker_drop_recorder(worker);
  worker->proxy.recorder = memory_alloc(sizeof order->recorder);
  *worker->proxy.recorder = order->recorder;
  worker->proxy.recorder->began_ms = loop_now_ms(worker->loop);
  free(message);
}

static void on_end(struct message *message, void *receiver) {
  const struct record_order *order = (struct record_order *)message;
  struct worker *worker = receiver;
  CHECK_OBJ(worker, WORKER_MAGIC);
  worker_drop_recorder(worker);
  worker->on_record_end(worker, order->recorder.number);
  free(message);
}

static void post(struct worker *worker, void (*receive)(struct message *message, void *receiver),
                 const struct recorder *with) {
  struct record_order *order = memory_alloc(sizeof *order);
  *order = (struct record_order){{NULL, receive}, *with};
  mailbox_tell(&worker->mailbox, &order->message);
}

void worker_record(struct worker *worker, const struct recorder *with) { post(worker, on_begin, with); }
void worker_end_record(struct worker *worker, const struct recorder *with) { post(worker, on_end, with); }
