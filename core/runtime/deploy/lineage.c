// SPDX-License-Identifier: Apache-2.0
// lineage: see the head.
#include "runtime/deploy/lineage.h"

#include <fcntl.h>
#include <unistd.h>

static void close_end(int *end) {
  if (*end >= 0) close(*end);
  *end = -1;
}

void lineage_init(struct lineage *l, int first) {
  *l = (struct lineage){.read_end = -1, .write_end = -1};
  if (first < 0 || fcntl(first, F_SETFD, FD_CLOEXEC) != 0 || fcntl(first + 1, F_SETFD, FD_CLOEXEC) != 0)
    return;
  l->read_end = first;
  l->write_end = first + 1;
}

bool lineage_ensure(struct lineage *l) {
  int ends[2];
  if (l->write_end >= 0) return true;
  if (pipe2(ends, O_CLOEXEC) != 0) return false;
  l->read_end = ends[0];
  l->write_end = ends[1];
  return true;
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events) {
  struct lineage *l = (struct lineage *)watcher;
  (void)events;
  ev_io_stop(loop, watcher); /* nobody writes: this is the end */
  l->on_stopped(l->owner);
}

void lineage_follow(struct lineage *l, struct ev_loop *loop, void (*on_stopped)(void *owner), void *owner) {
  close_end(&l->write_end);
  if (l->read_end < 0) return; /* the successor was started by somebody else */
  l->loop = loop;
  l->on_stopped = on_stopped;
  l->owner = owner;
  ev_io_init(&l->reader, on_readable, l->read_end, EV_READ);
  ev_io_start(loop, &l->reader);
}

void lineage_stop(struct lineage *l) { close_end(&l->write_end); }

void lineage_free(struct lineage *l) {
  if (l->loop) ev_io_stop(l->loop, &l->reader);
  close_end(&l->read_end);
  close_end(&l->write_end);
}
