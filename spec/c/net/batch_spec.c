// SPDX-License-Identifier: Apache-2.0
// Units for net/batch: what it sends must not depend on whether there is a ring.
#include "net/batch.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "sandbox.h"
#include "unit.h"

struct fixture {
  int ours[BATCH_MOST], theirs[BATCH_MOST];
  struct send_call calls[BATCH_MOST];
};

static void with_sockets(void (*test)(struct fixture *f)) {
  static char text[BATCH_MOST + 8];
  struct fixture f;
  for (size_t i = 0; i < sizeof text; i++) text[i] = (char)(' ' + i);
  for (int i = 0; i < BATCH_MOST; i++) {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds) != 0) abort();
    f.ours[i] = fds[0];
    f.theirs[i] = fds[1];
    f.calls[i] = (struct send_call){fds[0], MSG_NOSIGNAL, text + i, (unsigned)(i % 7 + 1), 99};
  }
  test(&f);
  batch_thread_end();
  for (int i = 0; i < BATCH_MOST; i++) {
    close(f.ours[i]);
    close(f.theirs[i]);
  }
}

static bool has_got(const struct fixture *f, int i) {
  char text[64];
  ssize_t got = recv(f->theirs[i], text, sizeof text, 0);
  return got == (ssize_t)f->calls[i].bytes && memcmp(text, f->calls[i].text, (size_t)got) == 0;
}

/* All of the first `count`, but `except`. */
static void check_sent(struct fixture *f, unsigned count, int except) {
  for (int i = 0; i < (int)count; i++) {
    if (i == except) continue;
    CHECK(f->calls[i].result == (int)f->calls[i].bytes);
    CHECK(has_got(f, i));
  }
}

static void any_number(struct fixture *f) {
  static const unsigned counts[] = {0, 1, BATCH_LEAST - 1, BATCH_LEAST, BATCH_MOST, 1, BATCH_MOST};
  for (unsigned i = 0; i < sizeof counts / sizeof *counts; i++) {
    batch_send(f->calls, counts[i]);
    check_sent(f, counts[i], -1);
  }
}
IT("sends to any number of sockets, again and again") { with_sockets(any_number); }

static void one_is_gone(struct fixture *f) {
  shutdown(f->theirs[2], SHUT_RDWR);
  batch_send(f->calls, 5);
  CHECK(f->calls[2].result == -EPIPE);
  check_sent(f, 5, 2);
}
IT("tells of a socket that is gone, and sends to the others") { with_sockets(one_is_gone); }

static void one_is_full(struct fixture *f) {
  char text[1024] = {0};
  while (send(f->ours[1], text, sizeof text, MSG_NOSIGNAL) > 0) {
  }
  batch_send(f->calls, 5);
  CHECK(f->calls[1].result == -EAGAIN);
  check_sent(f, 5, 1);
}
IT("waits for no socket that is full") { with_sockets(one_is_full); }

static void a_part(struct fixture *f) {
  size_t length = 4 << 20;
  char *text = calloc(1, length);
  f->calls[3].text = text;
  f->calls[3].bytes = (unsigned)length;
  batch_send(f->calls, 5);
  CHECK(f->calls[3].result > 0 && f->calls[3].result < (int)length);
  check_sent(f, 5, 3);
  free(text);
}
IT("says how much a socket took that has not room for all") { with_sockets(a_part); }

/* --- with a ring, and without ----------------------------------------------------------------------------- */

static unsigned rings(void) {
  unsigned count = 0;
  DIR *directory = opendir("/proc/self/fd");
  if (!directory) abort();
  for (struct dirent *entry; (entry = readdir(directory));) {
    char target[64] = {0};
    ssize_t length = readlinkat(dirfd(directory), entry->d_name, target, sizeof target - 1);
    count += length > 0 && strstr(target, "io_uring");
  }
  closedir(directory);
  return count;
}

static unsigned told;
static void count_line(enum log_level level, const char *line) {
  told += level == LOG_INFO && strstr(line, "io_uring: ");
}

static void one_ring(struct fixture *f) {
  told = 0;
  log_catch(count_line);
  batch_send(f->calls, BATCH_LEAST - 1);
  CHECK(rings() == 0);
  for (int i = 0; i < 2; i++) {
    batch_send(f->calls, BATCH_LEAST);
    CHECK(rings() + told == 1);
  }
  batch_thread_end();
  CHECK(rings() == 0);
  log_catch(NULL);
}
IT("keeps a ring from the first time that it pays until the thread ends, or says why not") {
  with_sockets(one_ring);
}

static void *short_of_descriptors(void *argument) {
  struct fixture *f = argument;
  struct rlimit files, few;
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) abort();
  few = files;
  few.rlim_cur = 3;
  setrlimit(RLIMIT_NOFILE, &few);
  batch_send(f->calls, BATCH_LEAST);
  setrlimit(RLIMIT_NOFILE, &files);
  CHECK(rings() == 0 && told == 1);
  check_sent(f, BATCH_LEAST, -1);
  unsigned batches = 0;
  for (; batches < 1000000 && rings() == 0; batches += 1000)
    for (int i = 0; i < 1000; i++) {
      batch_send(f->calls, BATCH_LEAST);
      check_sent(f, BATCH_LEAST, -1);
    }
  CHECK(batches < 1000000);
  CHECK(told == 1);
  batch_thread_end();
  return NULL;
}

static void shortage(struct fixture *f) {
  pthread_t thread;
  batch_send(f->calls, BATCH_LEAST);
  check_sent(f, BATCH_LEAST, -1);
  if (rings() == 0) return; /* there is none to be had in any case, see above */
  batch_thread_end();
  told = 0;
  log_catch(count_line);
  if (pthread_create(&thread, NULL, short_of_descriptors, f) != 0) abort();
  pthread_join(thread, NULL);
  log_catch(NULL);
}
IT("opens a ring later where descriptors were short") { with_sockets(shortage); }

struct refusal {
  struct fixture *f;
  int call;
};

static void *send_all_the_same(void *argument) {
  struct refusal *refusal = argument;
  struct fixture *f = refusal->f;
  if (refusal->call == SYS_io_uring_enter) {
    batch_send(f->calls, BATCH_MOST); /* with a ring, where there may be one */
    check_sent(f, BATCH_MOST, -1);
  }
  sandbox_forbid(refusal->call, EPERM);
  for (int i = 0; i < 2; i++) {
    batch_send(f->calls, BATCH_MOST);
    check_sent(f, BATCH_MOST, -1);
  }
  batch_thread_end();
  return NULL;
}

static void forbidden(struct fixture *f) {
  int calls[] = {SYS_io_uring_setup, SYS_io_uring_enter};
  told = 0;
  log_catch(count_line);
  for (int i = 0; i < 2; i++) {
    struct refusal refusal = {f, calls[i]};
    pthread_t thread;
    if (pthread_create(&thread, NULL, send_all_the_same, &refusal) != 0) abort();
    pthread_join(thread, NULL);
  }
  log_catch(NULL);
  CHECK(told == 2);
}
IT("sends all the same where a sandbox forbids a ring, from the start or later") { with_sockets(forbidden); }
