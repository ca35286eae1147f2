// SPDX-License-Identifier: Apache-2.0
// Units for net/mailbox.
#include "net/mailbox.h"

#include "unit.h"

struct note {
  struct message message;
  int number;
};

static void add(struct message *message, void *receiver) {
  int *sum = receiver;
  *sum = *sum * 10 + ((struct note *)message)->number;
}

static void with_box(void (*test)(struct mailbox *box, int *sum)) {
  struct ev_loop *loop = ev_loop_new(0);
  struct mailbox box;
  int sum = 0;
  mailbox_init(&box, loop, &sum);
  test(&box, &sum);
  ev_loop_destroy(loop);
}

static void run_in_order(struct mailbox *box, int *sum) {
  struct note first = {{NULL, add}, 1}, second = {{NULL, add}, 2};
  CHECK(mailbox_post(box, &first.message) && mailbox_post(box, &second.message));
  CHECK(*sum == 0);
  ev_run(box->loop, EVRUN_ONCE);
  CHECK(*sum == 12);
  mailbox_stop(box);
}
IT("runs messages in their order, in the receiver's loop") { with_box(run_in_order); }

static void close_box(struct mailbox *box, int *sum) {
  struct note taken = {{NULL, add}, 1}, refused = {{NULL, add}, 2};
  CHECK(mailbox_post(box, &taken.message));
  mailbox_stop(box);
  CHECK(*sum == 1);
  CHECK(!mailbox_post(box, &refused.message));
  CHECK(*sum == 1);
}
IT("runs what it has taken when it is closed, and takes no more") { with_box(close_box); }
