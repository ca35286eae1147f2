// SPDX-License-Identifier: Apache-2.0
// Units for net/offload: jobs come back to the mailbox that they are from, or to nobody.
#include "net/offload.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "unit.h"

struct work {
  struct offload_job job; /* first */
  atomic_bool has_begun, may_end, has_run;
  bool is_done;
};

static void run(struct offload_job *job) {
  struct work *w = (struct work *)job;
  atomic_store(&w->has_begun, true);
  while (!atomic_load(&w->may_end)) usleep(1000);
  atomic_store(&w->has_run, true);
}
static void on_done(struct offload_job *job) { ((struct work *)job)->is_done = true; }

static void prepare(struct work *w, struct mailbox *home, bool may_end) {
  *w = (struct work){.job = {.home = home, .run = run, .done = on_done}};
  atomic_store(&w->may_end, may_end);
}
static void with_box(void (*test)(struct mailbox *box)) {
  struct ev_loop *loop = ev_loop_new(0);
  struct mailbox box;
  mailbox_init(&box, loop, NULL);
  test(&box);
  ev_loop_destroy(loop);
}

static void come_back(struct mailbox *box) {
  struct work work[20];
  for (int i = 0; i < 20; i++) {
    prepare(&work[i], box, true);
    CHECK(offload_submit(i % 2 ? OFFLOAD_DISK : OFFLOAD_PASSWORDS, &work[i].job));
  }
  for (int i = 0; i < 20; i++)
    while (!work[i].is_done) ev_run(box->loop, EVRUN_ONCE);
  for (int i = 0; i < 20; i++) CHECK(atomic_load(&work[i].has_run));
  offload_leave(box);
  mailbox_stop(box);
}
IT("runs jobs in threads, and brings them back to their worker") { with_box(come_back); }

enum { MORE = 8 }; /* than there are threads: the last one waits */

/* Returns once the first one runs. */
static void fill(struct work work[MORE], struct mailbox *box) {
  for (int i = 0; i < MORE; i++) {
    prepare(&work[i], box, false);
    CHECK(offload_submit(OFFLOAD_DISK, &work[i].job));
  }
  while (!atomic_load(&work[0].has_begun)) usleep(1000);
}

static void take_back(struct mailbox *box) {
  struct work work[MORE], *last = &work[MORE - 1];
  fill(work, box);
  CHECK(offload_withdraw(OFFLOAD_DISK, &last->job));
  CHECK(!offload_withdraw(OFFLOAD_DISK, &last->job) && !offload_withdraw(OFFLOAD_DISK, &work[0].job));
  for (int i = 0; i < MORE; i++) atomic_store(&work[i].may_end, true);
  offload_leave(box);
  mailbox_stop(box);
  for (int i = 0; i < MORE - 1; i++) CHECK(work[i].is_done);
  CHECK(!last->is_done && !atomic_load(&last->has_begun));
}
IT("takes back what waits, and not what runs") { with_box(take_back); }

static void end_early(struct mailbox *box) {
  static struct work work[MORE]; /* what is left to nobody stays */
  fill(work, box);
  offload_leave(box);
  mailbox_stop(box);
  CHECK(!work[0].is_done && work[MORE - 1].is_done);
  struct work late;
  prepare(&late, box, true);
  CHECK(!offload_submit(OFFLOAD_DISK, &late.job));
  bool was_done[MORE];
  for (int i = 0; i < MORE; i++) was_done[i] = work[i].is_done;
  mailbox_init(box, box->loop, NULL); /* of another worker, at the same place */
  for (int i = 0; i < MORE; i++) atomic_store(&work[i].may_end, true);
  for (int i = 0; i < MORE; i++)
    while (!was_done[i] && !atomic_load(&work[i].has_run)) usleep(1000);
  offload_leave(box);
  mailbox_stop(box);
  for (int i = 0; i < MORE; i++)
    CHECK(work[i].is_done == was_done[i] && atomic_load(&work[i].has_begun) != was_done[i]);
}
IT("gives back to a worker that ends what has not run, and leaves to nobody what is stuck") {
  with_box(end_early);
}

static void overflow(struct mailbox *box) {
  enum { MANY = 100 };
  struct work work[MANY];
  bool is_taken[MANY]; /* not the first ones, where a thread takes one meanwhile */
  unsigned taken = 0;
  for (unsigned i = 0; i < MANY; i++) {
    prepare(&work[i], box, false);
    is_taken[i] = offload_submit(OFFLOAD_PASSWORDS, &work[i].job);
    taken += is_taken[i];
  }
  CHECK(taken >= 64 && taken < MANY);
  for (unsigned i = 0; i < MANY; i++) atomic_store(&work[i].may_end, true);
  for (unsigned i = 0; i < MANY; i++)
    while (is_taken[i] && !work[i].is_done) ev_run(box->loop, EVRUN_ONCE);
  offload_leave(box);
  mailbox_stop(box);
}
IT("takes no more than the queue has room for") { with_box(overflow); }
