// SPDX-License-Identifier: Apache-2.0
// watch: inotify on the folders of a policy's files, and a debounce timer.
#include "runtime/watch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "runtime/server.h"

enum { DEBOUNCE_MS = 100, EVENT_BYTES = 8192 };

/* One file: the number of its folder's watch, and its name there. */
struct watched {
  int folder;
  char *name; /* owned */
};

struct watch {
  ev_io reader;
  struct timer debounce;
  struct server *server; /* borrowed */
  struct watched *files; /* owned array */
  unsigned count;
  int fd;
  bool in_doubt;
};

static void on_due(struct timer *timer) {
  struct watch *w = LIST_ENTRY(timer, struct watch, debounce);
  log_info("a file of the policy has changed");
  server_request_reload(w->server);
}

static bool is_watched(const struct watch *w, const struct inotify_event *event) {
  for (unsigned i = 0; i < w->count && event->len; i++)
    if (w->files[i].folder == event->wd && strcmp(w->files[i].name, event->name) == 0) return true;
  size_t length = event->len ? strlen(event->name) : 0;
  return w->in_doubt && length > 4 && strcmp(event->name + length - 4, ".lua") == 0;
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events) {
  struct watch *w = (struct watch *)watcher;
  _Alignas(struct inotify_event) char bytes[EVENT_BYTES];
  (void)loop, (void)events;
  ssize_t length = read(w->fd, bytes, sizeof bytes);
  for (ssize_t at = 0; at < length;) {
    const struct inotify_event *event = (const struct inotify_event *)(bytes + at);
    if (is_watched(w, event)) timer_set(&w->debounce, DEBOUNCE_MS);
    at += (ssize_t)(sizeof *event + event->len);
  }
}

struct watch *watch_new(struct server *server, char **why) {
  int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (fd < 0) {
    *why = str_to_cstring(str_of(strerror(errno)));
    return NULL;
  }
  struct watch *w = memory_zalloc(sizeof *w);
  w->server = server;
  w->fd = fd;
  timer_init(&w->debounce, server->control.loop, on_due);
  ev_io_init(&w->reader, on_readable, fd, EV_READ);
  ev_io_start(server->control.loop, &w->reader);
  return w;
}

static void forget_files(struct watch *w) {
  for (unsigned i = 0; i < w->count; i++) free(w->files[i].name);
  free(w->files);
  w->files = NULL;
  w->count = 0;
}

static void add(struct watch *w, struct str path) {
  char *text = str_to_cstring(path), *slash = strrchr(text, '/');
  const char *name = slash ? slash + 1 : text;
  if (slash) *slash = '\0';
  const char *folder = slash ? (slash == text ? "/" : text) : ".";
  int number = inotify_add_watch(w->fd, folder, IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE);
  if (number < 0) {
    log_warn("cannot watch %s: %s", folder, strerror(errno));
  } else {
    w->files = memory_realloc(w->files, (w->count + 1) * sizeof *w->files);
    w->files[w->count++] = (struct watched){number, str_to_cstring(str_of(name))};
  }
  free(text);
}

void watch_files(struct watch *w, const char *lines) {
  struct str rest = str_of(lines), path;
  forget_files(w);
  w->in_doubt = false;
  while (lines && str_split(&rest, '\n', &path))
    if (path.len) add(w, path);
}

void watch_doubt(struct watch *w) { w->in_doubt = true; }

void watch_free(struct watch *w) {
  if (!w) return;
  ev_io_stop(w->server->control.loop, &w->reader);
  timer_stop(&w->debounce);
  close(w->fd);
  forget_files(w);
  free(w);
}
