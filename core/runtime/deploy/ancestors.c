// SPDX-License-Identifier: Apache-2.0
// ancestors: see the header. Nobody reads the bytes in the pipe, so that all ancestors see them; only their number
// matters.
#include "runtime/deploy/ancestors.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/container.h"

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

/* --- of an ancestor ----------------------------------------------------------------------------------------- */

enum { BYTES_FOR_NOW = 2 };
#define LOOK_S 0.1

static void on_look(struct ev_loop *loop, ev_timer *timer, int events) {
  struct ancestors *a = CONTAINER_OF(timer, struct ancestors, look);
  int bytes = 0;
  (void)events;
  if (ioctl(a->read_end, FIONREAD, &bytes) != 0 || bytes < BYTES_FOR_NOW) return;
  ev_timer_stop(loop, timer);
  a->on_stopped(a->owner, true);
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events) {
  struct ancestors *a = CONTAINER_OF(watcher, struct ancestors, watcher);
  if (rewatch_is_needed(&a->rewatch, loop, events)) return;
  ev_io_stop(loop, watcher); /* it stays readable */
  ev_timer_start(loop, &a->look);
  a->on_stopped(a->owner, false);
}

void ancestors_follow(struct ancestors *a, struct ev_loop *loop, void (*on_stopped)(void *owner, bool now),
                      void *owner) {
  close_end(&a->write_end);
  if (a->read_end < 0) return; /* the successor was not started by us */
  a->loop = loop;
  a->on_stopped = on_stopped;
  a->owner = owner;
  ev_timer_init(&a->look, on_look, 0, LOOK_S);
  ev_io_init(&a->watcher, on_readable, a->read_end, EV_READ);
  rewatch_init(&a->rewatch, &a->watcher);
  ev_io_start(loop, &a->watcher);
}

/* --- of who serves ------------------------------------------------------------------------------------------ */

static bool has_readers(int write_end) {
  struct pollfd end = {.fd = write_end};
  return poll(&end, 1, 0) == 0; /* else POLLERR */
}

static void on_no_reader(struct ev_loop *loop, ev_io *watcher, int events) {
  struct ancestors *a = CONTAINER_OF(watcher, struct ancestors, watcher);
  if (rewatch_is_needed(&a->rewatch, loop, events)) return;
  ev_io_stop(loop, watcher);
  a->are_awaited = false;
  a->on_gone(a->owner);
}

/* A write end is never readable: what is reported is the error that nobody has the other end any more. */
static void await(struct ancestors *a, struct ev_loop *loop) {
  close_end(&a->read_end);
  a->are_awaited = has_readers(a->write_end);
  if (!a->are_awaited) return;
  a->loop = loop;
  ev_io_init(&a->watcher, on_no_reader, a->write_end, EV_READ);
  rewatch_init(&a->rewatch, &a->watcher);
  ev_io_start(loop, &a->watcher);
}

void ancestors_stop(struct ancestors *a, struct ev_loop *loop, bool now, void (*on_gone)(void *owner),
                    void *owner) {
  if (a->write_end < 0) return;
  ssize_t sent = write(a->write_end, "..", now ? BYTES_FOR_NOW : 1);
  (void)sent; /* there may be nobody */
  a->on_gone = on_gone;
  a->owner = owner;
  if (a->read_end >= 0) await(a, loop);
}

void ancestors_free(struct ancestors *a) {
  if (a->loop) rewatch_stop(&a->rewatch, a->loop);
  if (a->loop && a->on_stopped) ev_timer_stop(a->loop, &a->look);
  if (!a->on_stopped) close_end(&a->read_end); /* else it closes with the process: that is waited for */
  close_end(&a->write_end);
}
