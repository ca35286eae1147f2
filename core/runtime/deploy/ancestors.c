// SPDX-License-Identifier: Apache-2.0
// ancestors: a pipe that nobody writes to; reading its end is the news.
#include "runtime/deploy/ancestors.h"

#include <fcntl.h>
#include <unistd.h>

static void close_end(int *end) {
  if (*end >= 0) close(*end);
  *end = -1;
}

void ancestors_init(struct ancestors *a, int first) {
  *a = (struct ancestors){.read_end = -1, .write_end = -1};
  if (first < 0 || fcntl(first, F_SETFD, FD_CLOEXEC) != 0 || fcntl(first + 1, F_SETFD, FD_CLOEXEC) != 0)
    return;
  a->read_end = first;
  a->write_end = first + 1;
}

bool ancestors_ensure(struct ancestors *a) {
  int ends[2];
  if (a->write_end >= 0) return true;
  if (pipe2(ends, O_CLOEXEC) != 0) return false;
  a->read_end = ends[0];
  a->write_end = ends[1];
  return true;
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events) {
  struct ancestors *a = (struct ancestors *)watcher;
  (void)events;
  ev_io_stop(loop, watcher); /* nobody ever writes: the write end was closed */
  a->on_stopped(a->owner);
}

void ancestors_follow(struct ancestors *a, struct ev_loop *loop, void (*on_stopped)(void *owner),
                      void *owner) {
  close_end(&a->write_end);
  if (a->read_end < 0) return; /* the successor was not started by us */
  a->loop = loop;
  a->on_stopped = on_stopped;
  a->owner = owner;
  ev_io_init(&a->reader, on_readable, a->read_end, EV_READ);
  ev_io_start(loop, &a->reader);
}

void ancestors_stop(struct ancestors *a) { close_end(&a->write_end); }

void ancestors_free(struct ancestors *a) {
  if (a->loop) ev_io_stop(a->loop, &a->reader);
  close_end(&a->read_end);
  close_end(&a->write_end);
}
