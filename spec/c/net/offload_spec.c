// SPDX-License-Identifier: Apache-2.0
// Units for net/offload: jobs come back to the mailbox that they are from, or to nobody.
#include "net/offload.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
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

/* The leak sanitizer would find it. */
static void outlive(struct mailbox *box) {
  struct work *work = malloc(sizeof *work);
  prepare(work, box, false);
  CHECK(offload_submit(OFFLOAD_PASSWORDS, &work->job));
  while (!atomic_load(&work->has_begun)) usleep(1000);
  offload_leave(box);
  mailbox_stop(box);
  CHECK(!work->is_done);
  atomic_store(&work->may_end, true);
  while (!atomic_load(&work->has_run)) usleep(1000);
}
IT("keeps a job that has run for a worker that had left") { with_box(outlive); }

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

/* --- equal jobs ------------------------------------------------------------------------------------------- */

static void share(struct offload_job *job, const struct offload_job *done) {
  CHECK(atomic_load(&((const struct work *)done)->has_run));
  atomic_store(&((struct work *)job)->has_run, true);
}

static void prepare_equal(struct work *w, struct mailbox *home, char key) {
  prepare(w, home, false);
  w->job.share = share;
  memset(w->job.key, key, sizeof w->job.key);
}

/* Two workers; the first one has a job with the key 'a' that runs. */
struct two {
  struct mailbox boxes[2];
  struct work running, fillers[MORE];
};
static void begin_two(struct two *t) {
  for (int i = 0; i < 2; i++) mailbox_init(&t->boxes[i], ev_loop_new(0), NULL);
  prepare_equal(&t->running, &t->boxes[0], 'a');
  CHECK(offload_submit(OFFLOAD_DISK, &t->running.job) && !t->running.job.follows);
  while (!atomic_load(&t->running.has_begun)) usleep(1000);
}
static void leave(struct mailbox *box) {
  offload_leave(box);
  mailbox_stop(box);
}
static void end_two(struct two *t) {
  for (int i = 0; i < 2; i++) ev_loop_destroy(t->boxes[i].loop);
}
/* So many that what comes then waits. */
static void keep_threads_busy(struct two *t) {
  for (int i = 0; i < MORE; i++) {
    prepare(&t->fillers[i], &t->boxes[0], false);
    CHECK(offload_submit(OFFLOAD_DISK, &t->fillers[i].job));
  }
}
static void end_fillers(struct two *t) {
  for (int i = 0; i < MORE; i++) atomic_store(&t->fillers[i].may_end, true);
}

IT("runs equal jobs of all workers once, and gives each its result") {
  struct two t;
  struct work equal[3], other;
  begin_two(&t);
  for (int i = 0; i < 3; i++) {
    prepare_equal(&equal[i], &t.boxes[i % 2], 'a');
    CHECK(offload_submit(OFFLOAD_DISK, &equal[i].job) && equal[i].job.follows);
  }
  prepare_equal(&other, &t.boxes[1], 'b');
  atomic_store(&other.may_end, true);
  CHECK(offload_submit(OFFLOAD_DISK, &other.job) && !other.job.follows);
  CHECK(offload_withdraw(OFFLOAD_DISK, &equal[2].job) && !offload_withdraw(OFFLOAD_DISK, &equal[2].job));
  atomic_store(&t.running.may_end, true);
  while (!t.running.is_done || !equal[0].is_done) ev_run(t.boxes[0].loop, EVRUN_ONCE);
  while (!equal[1].is_done || !other.is_done) ev_run(t.boxes[1].loop, EVRUN_ONCE);
  for (int i = 0; i < 2; i++) CHECK(atomic_load(&equal[i].has_run) && !atomic_load(&equal[i].has_begun));
  CHECK(atomic_load(&other.has_begun) && !equal[2].is_done);
  prepare_equal(&other, &t.boxes[1], 'a'); /* nothing is under way any more */
  atomic_store(&other.may_end, true);
  CHECK(offload_submit(OFFLOAD_DISK, &other.job) && !other.job.follows);
  for (int i = 0; i < 2; i++) leave(&t.boxes[i]);
  CHECK(other.is_done);
  end_two(&t);
}

IT("lets a job take the place of the one that it follows, where that is taken back, or its worker leaves") {
  struct two t;
  struct work first, second, third;
  begin_two(&t);
  keep_threads_busy(&t);
  prepare_equal(&first, &t.boxes[1], 'c');
  prepare_equal(&second, &t.boxes[0], 'c');
  prepare_equal(&third, &t.boxes[1], 'c');
  CHECK(offload_submit(OFFLOAD_DISK, &first.job) && offload_submit(OFFLOAD_DISK, &second.job));
  CHECK(offload_submit(OFFLOAD_DISK, &third.job) && !first.job.follows && third.job.follows);
  CHECK(offload_withdraw(OFFLOAD_DISK, &first.job)); /* the third one is in its place now */
  leave(&t.boxes[1]);
  CHECK(third.is_done && !atomic_load(&third.has_run) && !second.is_done && !first.is_done);
  atomic_store(&second.may_end, true);
  atomic_store(&t.running.may_end, true);
  end_fillers(&t);
  while (!second.is_done) ev_run(t.boxes[0].loop, EVRUN_ONCE);
  CHECK(atomic_load(&second.has_begun));
  leave(&t.boxes[0]);
  end_two(&t);
}

IT("gives back at once what follows, where its worker leaves, and its result where the first one is left to "
   "nobody") {
  static struct two t; /* what is left to nobody stays */
  struct work here, there;
  begin_two(&t);
  prepare_equal(&here, &t.boxes[0], 'a');
  prepare_equal(&there, &t.boxes[1], 'a');
  CHECK(offload_submit(OFFLOAD_DISK, &here.job) && offload_submit(OFFLOAD_DISK, &there.job));
  leave(&t.boxes[0]);
  CHECK(here.is_done && !atomic_load(&here.has_run) && !t.running.is_done && !there.is_done);
  atomic_store(&t.running.may_end, true);
  while (!there.is_done) ev_run(t.boxes[1].loop, EVRUN_ONCE);
  CHECK(atomic_load(&there.has_run) && !t.running.is_done);
  leave(&t.boxes[1]);
  end_two(&t);
}
