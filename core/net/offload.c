// SPDX-License-Identifier: Apache-2.0
// offload: see offload.h. Threads begin with the first jobs, and stay. Threads that compute yield to the workers
// (nice), and are at most half as many as there are cores.
//
// The hard problem is a worker that ends while its jobs are under way: whoever sent them has a pointer to them. So none
// is freed elsewhere: all come back before the mailbox closes, and those that do not are left to nobody.
#include "net/offload.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/check.h"
#include "base/cores.h"
#include "base/log.h"
#include "base/memory.h"

enum { STOP_MS = 500 };

/* On its thread's stack. */
struct seat {
  struct mailbox *home;    /* borrowed: of the job; NULL: its worker has left */
  struct offload_job *job; /* that runs */
  struct seat *next;
};

static struct pool {
  const char *name; /* of its threads */
  unsigned threads_most, queue_most;
  bool computes;
  pthread_mutex_t lock;
  pthread_cond_t has_work, has_ended;
  struct offload_job *first, **last; /* NULL: there is no last one */
  struct seat *seats;                /* of threads with a job */
  struct offload_job *left;          /* have run for workers that were gone by then: nobody frees them */
  unsigned waiting, threads, idle;
  bool stopping;
} pools[OFFLOAD_COUNT] = {
    [OFFLOAD_DISK] = {.name = "disk",
                      .threads_most = 4,
                      .queue_most = 1024,
                      .lock = PTHREAD_MUTEX_INITIALIZER,
                      .has_work = PTHREAD_COND_INITIALIZER,
                      .has_ended = PTHREAD_COND_INITIALIZER},
    [OFFLOAD_PASSWORDS] = {.name = "passwords",
                           .threads_most = 8,
                           .queue_most = 64,
                           .computes = true,
                           .lock = PTHREAD_MUTEX_INITIALIZER,
                           .has_work = PTHREAD_COND_INITIALIZER,
                           .has_ended = PTHREAD_COND_INITIALIZER},
};

static void on_message(struct message *message, void *receiver) {
  struct offload_job *job = (struct offload_job *)message;
  (void)receiver;
  job->done(job);
}

/* --- the queue, under the lock ---------------------------------------------------------------------------- */

static void append(struct pool *pool, struct offload_job *job) {
  job->next = NULL;
  *(pool->first ? pool->last : &pool->first) = job;
  pool->last = &job->next;
  pool->waiting++;
}

/* A follower, if there is one, takes the place of `*at`; else the next one does. */
static void replace(struct pool *pool, struct offload_job **at) {
  struct offload_job *job = *at, *heir = job->followers;
  struct offload_job *after = job->next;
  if (heir) {
    heir->followers = heir->next;
    heir->next = after;
    job->followers = NULL;
  }
  *at = heir ? heir : after;
  if (!after) pool->last = heir ? &heir->next : at;
  if (!heir) pool->waiting--;
}

/* Takes out the first job of the worker, or the one. NULL: there is none. */
static struct offload_job *take_out(struct pool *pool, const struct mailbox *home,
                                    const struct offload_job *one) {
  struct offload_job **at = &pool->first;
  while (*at && (home ? (*at)->home != home : *at != one)) at = &(*at)->next;
  struct offload_job *job = *at;
  if (job) replace(pool, at);
  return job;
}

/* For a thread: with its followers. */
static struct offload_job *take_first(struct pool *pool) {
  struct offload_job *job = pool->first;
  pool->first = job->next;
  if (!job->next) pool->last = &pool->first;
  pool->waiting--;
  return job;
}

/* NULL: the thread is to end. */
static struct offload_job *await(struct pool *pool) {
  pool->idle++;
  while (!pool->first && !pool->stopping) pthread_cond_wait(&pool->has_work, &pool->lock);
  pool->idle--;
  return pool->stopping ? NULL : take_first(pool);
}

/* --- followers, under the lock ---------------------------------------------------------------------------- */

/* Takes the first one of the worker, or the one, out of those that follow `job`. NULL: there is none. */
static struct offload_job *take_follower(struct offload_job *job, const struct mailbox *home,
                                         const struct offload_job *one) {
  struct offload_job **at = &job->followers;
  while (*at && (home ? (*at)->home != home : *at != one)) at = &(*at)->next;
  struct offload_job *follower = *at;
  if (follower) *at = follower->next;
  return follower;
}

/* The same of all that is under way. */
static struct offload_job *take_any_follower(struct pool *pool, const struct mailbox *home,
                                             const struct offload_job *one) {
  struct offload_job *found = NULL;
  for (struct offload_job *job = pool->first; job && !found; job = job->next)
    found = take_follower(job, home, one);
  for (struct seat *seat = pool->seats; seat && !found; seat = seat->next)
    found = take_follower(seat->job, home, one);
  return found;
}

/* The job under way that is equal; NULL: there is none. */
static struct offload_job *equal_of(struct pool *pool, const struct offload_job *job) {
  if (!job->share) return NULL;
  for (struct offload_job *one = pool->first; one; one = one->next)
    if (one->share == job->share && memcmp(one->key, job->key, OFFLOAD_KEY) == 0) return one;
  for (struct seat *seat = pool->seats; seat; seat = seat->next)
    if (seat->job->share == job->share && memcmp(seat->job->key, job->key, OFFLOAD_KEY) == 0)
      return seat->job;
  return NULL;
}

static void follow(struct offload_job *first, struct offload_job *job) {
  job->next = first->followers;
  first->followers = job;
  job->follows = true;
}

/* The job has run: what follows it has its result, and comes back. */
static void release_followers(struct offload_job *done) {
  for (struct offload_job *job; (job = done->followers);) {
    done->followers = job->next;
    job->share(job, done);
    mailbox_post(job->home, &job->message);
  }
}

/* --- threads ---------------------------------------------------------------------------------------------- */

static void sit(struct pool *pool, struct seat *seat) {
  seat->next = pool->seats;
  pool->seats = seat;
}

static void rise(struct pool *pool, const struct seat *seat) {
  struct seat **at = &pool->seats;
  while (*at != seat) at = &(*at)->next;
  *at = seat->next;
}

static void leave(struct pool *pool, struct offload_job *job) {
  job->next = pool->left;
  pool->left = job;
}

/* Under the lock, which it gives up while the job runs. */
static void run(struct pool *pool, struct offload_job *job) {
  struct seat seat = {.home = job->home, .job = job};
  sit(pool, &seat);
  pthread_mutex_unlock(&pool->lock);
  job->run(job);
  pthread_mutex_lock(&pool->lock);
  rise(pool, &seat);
  release_followers(job);
  if (seat.home)
    mailbox_post(seat.home, &job->message);
  else
    leave(pool, job);
  pthread_cond_broadcast(&pool->has_ended);
}

static void *work(void *argument) {
  struct pool *pool = argument;
  log_set_thread(pool->name);
  pthread_setname_np(pthread_self(), pool->name);
  if (pool->computes) cores_yield_to_workers();
  pthread_mutex_lock(&pool->lock);
  for (struct offload_job *job; (job = await(pool));) run(pool, job);
  pool->threads--;
  pthread_cond_broadcast(&pool->has_ended);
  pthread_mutex_unlock(&pool->lock);
  memory_thread_end();
  return NULL;
}

static unsigned threads_most(const struct pool *pool) {
  if (!pool->computes) return pool->threads_most;
  unsigned half = (cores_available() + 1) / 2;
  return half < pool->threads_most ? half : pool->threads_most;
}

/* Under the lock. */
static void add_thread(struct pool *pool) {
  pthread_t thread;
  if (pool->idle > pool->waiting || pool->threads >= threads_most(pool)) return;
  if (pthread_create(&thread, NULL, work, pool) != 0) return;
  pthread_detach(thread);
  pool->threads++;
}

/* --- the calls -------------------------------------------------------------------------------------------- */

bool offload_submit(enum offload kind, struct offload_job *job) {
  struct pool *pool = &pools[kind];
  job->message.run = on_message;
  job->follows = false;
  job->followers = NULL;
  pthread_mutex_lock(&pool->lock);
  struct offload_job *equal = job->home->closed ? NULL : equal_of(pool, job);
  if (equal)
    follow(equal, job);
  else
    add_thread(pool);
  bool has_room =
      !job->home->closed && pool->threads > 0 && pool->waiting < pool->queue_most && !pool->stopping;
  if (!equal && has_room) append(pool, job);
  if (!equal && has_room) pthread_cond_signal(&pool->has_work);
  pthread_mutex_unlock(&pool->lock);
  return equal || has_room;
}

bool offload_withdraw(enum offload kind, struct offload_job *job) {
  struct pool *pool = &pools[kind];
  pthread_mutex_lock(&pool->lock);
  bool waited = take_out(pool, NULL, job) || take_any_follower(pool, NULL, job);
  pthread_mutex_unlock(&pool->lock);
  return waited;
}

/* --- the end ---------------------------------------------------------------------------------------------- */

static struct timespec soon(void) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_nsec += STOP_MS * 1000000L;
  until.tv_sec += until.tv_nsec / 1000000000L;
  until.tv_nsec %= 1000000000L;
  return until;
}

/* The time of day may be set back meanwhile. False: it is over. */
static bool await_end(struct pool *pool, const struct timespec *until) {
  return pthread_cond_clockwait(&pool->has_ended, &pool->lock, CLOCK_MONOTONIC, until) != ETIMEDOUT;
}

static struct seat *seat_of(struct pool *pool, const struct mailbox *home) {
  struct seat *seat = pool->seats;
  while (seat && seat->home != home) seat = seat->next;
  return seat;
}

void offload_leave(struct mailbox *home) {
  struct timespec until = soon();
  for (unsigned i = 0; i < OFFLOAD_COUNT; i++) {
    struct pool *pool = &pools[i];
    pthread_mutex_lock(&pool->lock);
    for (struct offload_job *job; (job = take_any_follower(pool, home, NULL));)
      mailbox_post(home, &job->message);
    for (struct offload_job *job; (job = take_out(pool, home, NULL));) mailbox_post(home, &job->message);
    while (seat_of(pool, home) && await_end(pool, &until)) continue;
    for (struct seat *seat; (seat = seat_of(pool, home));) seat->home = NULL;
    pthread_mutex_unlock(&pool->lock);
  }
}

void offload_stop(void) {
  struct timespec until = soon();
  for (unsigned i = 0; i < OFFLOAD_COUNT; i++) {
    struct pool *pool = &pools[i];
    pthread_mutex_lock(&pool->lock);
    CHECK(!pool->first);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->has_work);
    while (pool->threads > 0 && await_end(pool, &until)) continue;
    pthread_mutex_unlock(&pool->lock);
  }
}
