// SPDX-License-Identifier: Apache-2.0
// watch: inotify on the folders of a policy's files, and a debounce timer. Each symbolic link in a path counts as a
// file, too, since whole folders may be exchanged by one: a ConfigMap of Kubernetes, or "current".
#include "runtime/deploy/watch.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/container.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/path.h"
#include "base/why.h"
#include "net/rewatch.h"
#include "runtime/server.h"

/* LINKS: as many of a path as Linux follows (path_resolution(7)). */
enum { DEBOUNCE_MS = 100, EVENT_BYTES = 8192, LINKS = 40 };

/* One file or link: the number of its folder's watch, and its name there. */
struct watched {
  int folder;
  char *name; /* owned */
};

struct watch {
  ev_io reader;
  struct rewatch rewatch;
  struct timer debounce;
  struct server *server; /* borrowed */
  struct watched *files; /* owned array */
  unsigned count;
  char *lines; /* owned: their paths; NULL */
  int fd;
  bool in_doubt;
};

static void on_due(struct timer *timer) {
  struct watch *w = CONTAINER_OF(timer, struct watch, debounce);
  log_info("a file of the policy has changed");
  server_request_reload(w->server);
}

static bool is_watched(const struct watch *w, const struct inotify_event *event) {
  for (unsigned i = 0; i < w->count && event->len; i++)
    if (w->files[i].folder == event->wd && strcmp(w->files[i].name, event->name) == 0) return true;
  return w->in_doubt && event->len && path_is_script(event->name);
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events) {
  struct watch *w = (struct watch *)watcher;
  _Alignas(struct inotify_event) char bytes[EVENT_BYTES];
  if (rewatch_is_needed(&w->rewatch, loop, events)) return;
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
    why_say(why, "%s", strerror(errno));
    return NULL;
  }
  struct watch *w = memory_zalloc(sizeof *w);
  w->server = server;
  w->fd = fd;
  timer_init(&w->debounce, server->control.loop, on_due);
  ev_io_init(&w->reader, on_readable, fd, EV_READ);
  rewatch_init(&w->rewatch, &w->reader);
  ev_io_start(server->control.loop, &w->reader);
  return w;
}

static bool has_folder(const struct watch *w, int folder) {
  for (unsigned i = 0; i < w->count; i++)
    if (w->files[i].folder == folder) return true;
  return false;
}

static void add(struct watch *w, const char *folder, struct str name) {
  int number = inotify_add_watch(w->fd, *folder ? folder : ".", IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE);
  if (number < 0) {
    log_warn("cannot watch %s: %s", folder, strerror(errno));
    return;
  }
  for (unsigned i = 0; i < w->count; i++)
    if (w->files[i].folder == number && str_equal(str_of(w->files[i].name), name)) return;
  w->files = memory_realloc(w->files, (w->count + 1) * sizeof *w->files);
  w->files[w->count++] = (struct watched){number, str_to_cstring(name)};
}

/* Adds what a path leads to, and each link on the way. `behind` is what leads over no link (any more). */
static void add_path(struct watch *w, struct arena *arena, struct str ahead) {
  struct str behind = str_starts_with(ahead, STR("/")) ? STR("/") : STR(""), name;
  unsigned links = 0;
  while (str_split(&ahead, '/', &name)) {
    if (!name.len) continue;
    char target[PATH_MAX];
    const char *folder = arena_cstring(arena, behind);
    const char *path = arena_printf(arena, "%s%.*s", folder, STR_ARG(name)).ptr;
    ssize_t bytes = readlink(path, target, sizeof target);
    bool is_missing = bytes < 0 && errno == ENOENT;
    if (bytes > 0 || is_missing || !ahead.ptr) add(w, folder, name);
    if (is_missing) return;
    if (bytes <= 0) {
      behind = arena_printf(arena, "%s/", path);
      continue;
    }
    if (links++ == LINKS) return;
    if (target[0] == '/') behind = STR("/");
    ahead = arena_printf(arena, "%.*s%s%.*s", (int)bytes, target, ahead.ptr ? "/" : "", STR_ARG(ahead));
  }
}

static void free_files(struct watched *files, unsigned count) {
  for (unsigned i = 0; i < count; i++) free(files[i].name);
  free(files);
}

static void add_paths(struct watch *w) {
  struct str rest = str_of(w->lines), path;
  struct arena arena = {0};
  while (str_split(&rest, '\n', &path)) add_path(w, &arena, path);
  arena_free(&arena);
}

void watch_files(struct watch *w, const char *lines) {
  struct watched *old = w->files;
  unsigned old_count = w->count;
  free(w->lines);
  w->lines = lines ? str_to_cstring(str_of(lines)) : NULL;
  w->files = NULL;
  w->count = 0;
  w->in_doubt = false;
  add_paths(w);
  for (unsigned i = 0; i < old_count; i++)
    if (!has_folder(w, old[i].folder)) inotify_rm_watch(w->fd, old[i].folder);
  free_files(old, old_count);
}

/* A link may lead elsewhere by now. */
void watch_doubt(struct watch *w) {
  w->in_doubt = true;
  add_paths(w);
}

void watch_free(struct watch *w) {
  if (!w) return;
  rewatch_stop(&w->rewatch, w->server->control.loop);
  timer_stop(&w->debounce);
  close(w->fd);
  free_files(w->files, w->count);
  free(w->lines);
  free(w);
}
