// SPDX-License-Identifier: Apache-2.0
// listener: open and accept. The hard problem is running out of descriptors: the socket stays readable, so
// instead of spinning, the listener pauses until there is room again. New clients wait in the kernel meanwhile.
#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/container.h"
#include "base/log.h"
#include "base/safe_file.h"
#include "net/descriptors.h"

enum { BACKLOG = 65535, ACCEPTS_PER_TURN = 64, PAUSE_MS = 100, LOOK_AGAIN_MS = 20 };

/* --- opening -------------------------------------------------------------------------------------------- */

static int open_bound(const struct addr *addr, bool shared) {
  int fd = socket(addr_family(addr), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
  if (fd < 0) return -1;
  if (addr->kind == ADDR_IP) {
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (shared) setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
  }
  if (bind(fd, &addr->socket.any, addr->length) == 0) return fd;
  int code = errno;
  close(fd);
  errno = code;
  return -1;
}

/* With SO_REUSEPORT a second process of the same user could take a share of our port unnoticed; a socket
 * without it tells whether the port is free. */
static bool is_free(const struct addr *addr) {
  if (addr->kind != ADDR_IP || addr->port == 0) return true;
  int fd = open_bound(addr, false);
  if (fd < 0) return false;
  int code = listen(fd, 1);
  close(fd);
  return code == 0;
}

/* Removes a socket file that a process left behind: nobody answers there. Anything else stays, also one whose queue is
 * full (EAGAIN): somebody listens. */
static void remove_stale(const struct addr *addr) {
  struct stat info;
  const char *path = addr->socket.local.sun_path;
  if (lstat(path, &info) != 0 || !S_ISSOCK(info.st_mode)) return;
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (connect(fd, &addr->socket.any, addr->length) != 0 && errno == ECONNREFUSED) unlink(path);
  close(fd);
}

static bool open_all(struct addr addr, int *fds, unsigned count) {
  unsigned opened = 0;
  for (; opened < count; opened++) {
    bool first = opened == 0;
    fds[opened] = first || addr.kind == ADDR_IP ? open_bound(&addr, true) : fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
    if (fds[opened] < 0) break;
    if ((first || addr.kind == ADDR_IP) && listen(fds[opened], BACKLOG) != 0) break;
    if (first && addr.kind == ADDR_IP) getsockname(fds[0], &addr.socket.any, &addr.length);
  }
  if (opened == count) return true;
  int code = errno;
  for (unsigned i = 0; i <= opened; i++)
    if (fds[i] >= 0) close(fds[i]);
  errno = code;
  return false;
}

static const char *reason_of(const struct addr *addr, int code) {
  static _Thread_local char text[160];
  struct stat info;
  const char *hint = "";
  if (addr->kind == ADDR_UNIX && code != EADDRINUSE) return safe_reason_new(code);
  if (addr->kind == ADDR_UNIX && lstat(addr->socket.local.sun_path, &info) == 0 && !S_ISSOCK(info.st_mode))
    return S_ISDIR(info.st_mode) ? safe_reason(EISDIR) : "there is a file that is no socket, and it is left";
  if (code == EADDRNOTAVAIL) hint = " (it is no address of this machine)";
  if (code == EADDRINUSE && addr->kind == ADDR_UNIX) hint = " ('ss -lxp' shows who listens there)";
  if (code == EADDRINUSE && addr->kind == ADDR_IP) hint = " ('ss -ltnp' shows who listens there)";
  snprintf(text, sizeof text, "%s%s", strerror(code), hint);
  return text;
}

bool listener_open(const struct addr *addr, int *fds, unsigned count, const char **why) {
  static _Thread_local char text[480];
  char where[ADDR_TEXT];
  if (addr->kind == ADDR_UNIX) remove_stale(addr);
  if (is_free(addr) && open_all(*addr, fds, count)) return true;
  int code = errno;
  addr_format(addr, where);
  snprintf(text, sizeof text, "cannot listen on %s: %s", where, reason_of(addr, code));
  *why = text;
  errno = code;
  return false;
}

/* --- accepting ------------------------------------------------------------------------------------------ */

static void on_resume(struct timer *timer) {
  struct listener *l = CONTAINER_OF(timer, struct listener, pause);
  ev_io_start(l->loop, &l->watcher);
}

static void pause_for(struct listener *l, unsigned ms) {
  ev_io_stop(l->loop, &l->watcher);
  timer_set(&l->pause, ms);
}

void listener_resume(struct listener *l) {
  if (l->fd < 0 || ev_is_active(&l->watcher)) return;
  timer_clear(&l->pause);
  ev_io_start(l->loop, &l->watcher);
}

static void accept_failed(struct listener *l) {
  int code = errno;
  if (l->on_vain) l->on_vain(l);
  if (!descriptors_want(code)) return;
  log_error("cannot accept: %s; pausing for %d ms", strerror(code), PAUSE_MS);
  pause_for(l, PAUSE_MS);
}

static bool accept_one(struct listener *l, bool must) {
  struct sockaddr_storage client = {0};
  socklen_t length = sizeof client;
  if (l->may_accept && !l->may_accept(l, must)) {
    pause_for(l, LOOK_AGAIN_MS);
    return false;
  }
  int fd = accept4(l->fd, (struct sockaddr *)&client, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd >= 0)
    l->on_accept(l, fd, (const struct sockaddr *)&client, length);
  else
    accept_failed(l);
  return fd >= 0;
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events) {
  struct listener *l = (struct listener *)watcher;
  (void)loop;
  if (events & EV_ERROR) pause_for(l, PAUSE_MS); /* the kernel had no memory to watch it: libev has stopped */
  for (int i = 0; i < ACCEPTS_PER_TURN && l->fd >= 0 && accept_one(l, false); i++) {
  }
}

void listener_drain(struct listener *l) {
  while (l->fd >= 0 && accept_one(l, true)) {
  }
}

void listener_start(struct listener *l, struct ev_loop *loop, int fd,
                    void (*on_accept)(struct listener *l, int fd, const struct sockaddr *client,
                                      socklen_t length)) {
  l->loop = loop;
  l->fd = fd;
  l->on_accept = on_accept;
  timer_init(&l->pause, loop, on_resume);
  ev_io_init(&l->watcher, on_readable, fd, EV_READ);
  ev_io_start(loop, &l->watcher);
}

void listener_stop(struct listener *l) {
  if (l->fd < 0) return;
  timer_stop(&l->pause);
  ev_io_stop(l->loop, &l->watcher);
  close(l->fd);
  l->fd = -1;
}
