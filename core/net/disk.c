// SPDX-License-Identifier: Apache-2.0
// disk: see disk.h. Threads begin with the first jobs, and stay. One that is in a call that does not return (a dead NFS
// server) is not waited for at the end: it holds nothing but its job.
#include "net/disk.h"

#include <errno.h>
#include <time.h>

#include "base/log.h"
#include "base/memory.h"

enum { STOP_MS = 500 };

static struct {
  pthread_mutex_t lock;
  pthread_cond_t has_work, has_ended;
  struct disk_job *first, **last;
  unsigned waiting, threads, idle;
  bool stopping;
} disk = {.lock = PTHREAD_MUTEX_INITIALIZER,
          .has_work = PTHREAD_COND_INITIALIZER,
          .has_ended = PTHREAD_COND_INITIALIZER,
          .last = &disk.first};

static void on_message(struct message *message, void *receiver) {
  struct disk_job *job = (struct disk_job *)message;
  (void)receiver;
  job->done(job);
}

/* Under the lock. NULL: the thread is to end. */
static struct disk_job *await(void) {
  disk.idle++;
  while (!disk.first && !disk.stopping) pthread_cond_wait(&disk.has_work, &disk.lock);
  disk.idle--;
  struct disk_job *job = disk.stopping ? NULL : disk.first;
  if (!job) return NULL;
  disk.first = job->next;
  if (!disk.first) disk.last = &disk.first;
  disk.waiting--;
  return job;
}

static void *work(void *unused) {
  log_set_thread("disk");
  pthread_setname_np(pthread_self(), "disk");
  pthread_mutex_lock(&disk.lock);
  for (struct disk_job *job; (job = await());) {
    pthread_mutex_unlock(&disk.lock);
    job->run(job);
    pthread_mutex_lock(&disk.lock);
    bool is_lost = disk.stopping; /* its worker may be gone altogether */
    pthread_mutex_unlock(&disk.lock);
    if (is_lost || !mailbox_post(job->home, &job->message)) job->lost(job);
    pthread_mutex_lock(&disk.lock);
  }
  disk.threads--;
  pthread_cond_broadcast(&disk.has_ended);
  pthread_mutex_unlock(&disk.lock);
  memory_thread_end();
  return unused;
}

/* Under the lock. */
static void add_thread(void) {
  pthread_t thread;
  if (disk.threads == DISK_THREADS || disk.idle > disk.waiting) return;
  if (pthread_create(&thread, NULL, work, NULL) != 0) return;
  pthread_detach(thread);
  disk.threads++;
}

bool disk_submit(struct disk_job *job) {
  job->message.run = on_message;
  job->next = NULL;
  pthread_mutex_lock(&disk.lock);
  add_thread();
  bool fine = !disk.stopping && disk.threads > 0 && disk.waiting < DISK_QUEUE_MOST;
  if (fine) {
    *disk.last = job;
    disk.last = &job->next;
    disk.waiting++;
    pthread_cond_signal(&disk.has_work);
  }
  pthread_mutex_unlock(&disk.lock);
  return fine;
}

void disk_stop(void) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_nsec += STOP_MS * 1000000L;
  until.tv_sec += until.tv_nsec / 1000000000L;
  until.tv_nsec %= 1000000000L;
  pthread_mutex_lock(&disk.lock);
  disk.stopping = true;
  pthread_cond_broadcast(&disk.has_work);
  while (disk.threads > 0 && pthread_cond_timedwait(&disk.has_ended, &disk.lock, &until) != ETIMEDOUT) {
  }
  struct disk_job *job = disk.first;
  disk.first = NULL;
  disk.last = &disk.first;
  disk.waiting = 0;
  pthread_mutex_unlock(&disk.lock);
  while (job) {
    struct disk_job *next = job->next;
    job->lost(job);
    job = next;
  }
}
