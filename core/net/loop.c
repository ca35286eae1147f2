// SPDX-License-Identifier: Apache-2.0
// loop: libev keeps to itself the descriptor by which other threads wake a loop. It aborts where it cannot open it,
// and fails an assertion much later where the kernel does not watch it. So we first open one like it, and let the
// fresh loop turn once: for a descriptor that the kernel refuses, libev stops the watcher, and counts one too few.
#include "net/loop.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/why.h"

static void on_wake(struct ev_loop *loop, ev_async *watcher, int events) {
  (void)loop, (void)watcher, (void)events;
}

static bool can_be_opened(void) {
  int fd = eventfd(0, EFD_CLOEXEC);
  if (fd < 0) return false;
  close(fd);
  return true;
}

/* The only watcher is ours: if none is left after a turn, libev has stopped its own, which it had not counted. */
static bool is_watched(struct ev_loop *loop) {
  ev_async wake;
  ev_async_init(&wake, on_wake);
  ev_async_start(loop, &wake);
  bool is_left = ev_run(loop, EVRUN_NOWAIT);
  ev_async_stop(loop, &wake);
  return is_left;
}

struct ev_loop *loop_open(char **why) {
  struct ev_loop *loop = ev_loop_new(EVFLAG_AUTO);
  if (!loop || !can_be_opened())
    why_say(why, "no loop can be made: %s; raise LimitNOFILE (ulimit -n)", strerror(errno));
  else if (!is_watched(loop))
    why_say(why, "no loop can be made: the kernel watches no more descriptors; raise "
                 "fs.epoll.max_user_watches (sysctl)");
  else
    return loop;
  loop_close(loop);
  return NULL;
}

void loop_close(struct ev_loop *loop) {
  if (loop) ev_loop_destroy(loop);
}
