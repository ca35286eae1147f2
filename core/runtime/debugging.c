// SPDX-License-Identifier: Apache-2.0
// debugging: see debugging.h. The terminal is opened anew, so that it can be read and written without waiting and
// nobody else's terminal changes its mode; it edits lines by itself. While an order is under way no line is read: what
// is typed stays in the terminal.
#include "runtime/debugging.h"

#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/container.h"
#include "base/escape.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/why.h"
#include "runtime/server.h"

enum { LINE_MOST = 4096, OUT_MOST = 1 << 20, PART_BYTES = 256 };

struct debugging {
  struct policy_debug debug;
  struct server *server; /* borrowed */
  int fd;                /* the terminal; -1: it has gone */
  ev_io readable, writable;
  struct buf out;
  struct list queue;    /* struct stopped: the first is spoken of */
  unsigned long spoken; /* its number, once it was shown; 0: none is */
  bool is_busy;         /* an order is under way */
  char repeated[8];     /* what an empty line means */
};

struct stopped {
  struct list link;
  unsigned long number;
  unsigned worker;
};

/* --- the terminal ----------------------------------------------------------------------------------------- */

static void on_writable(struct ev_loop *loop, ev_io *watcher, int events) {
  struct debugging *d = watcher->data;
  (void)events;
  ssize_t sent = write(d->fd, buf_ptr(&d->out), buf_len(&d->out));
  if (sent > 0) buf_consume(&d->out, (size_t)sent);
  if (sent < 0 && errno != EAGAIN && errno != EINTR) {
    debugging_end(d);
    return;
  }
  if (buf_len(&d->out)) return;
  buf_release(&d->out);
  ev_io_stop(loop, watcher);
}

/* Text of policies and of clients does not steer the terminal. */
static void say(struct debugging *d, const char *text) {
  char room[4 * PART_BYTES];
  if (d->fd < 0 || buf_len(&d->out) > OUT_MOST) return; /* who has stopped the terminal's output loses it */
  struct str rest = str_of(text), line;
  if (rest.len && rest.ptr[rest.len - 1] == '\n') rest.len--;
  while (str_split(&rest, '\n', &line)) {
    for (; line.len; line = str_from(line, PART_BYTES)) {
      struct str part = {line.ptr, line.len < PART_BYTES ? line.len : PART_BYTES};
      buf_append(&d->out, room, escape_line(room, sizeof room, part));
    }
    buf_append(&d->out, "\n", 1);
  }
  ev_io_start(d->server->control.loop, &d->writable);
}

static __attribute__((format(printf, 2, 3))) void say_that(struct debugging *d, const char *format, ...) {
  char text[512];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  say(d, text);
}

/* "debug> ", or "debug (+2)> " where two more wait for their turn. */
static void prompt(struct debugging *d) {
  char text[32] = "debug> ";
  unsigned more = 0;
  if (d->fd < 0) return;
  for (const struct list *node = d->queue.next->next; node != &d->queue; node = node->next) more++;
  if (more) snprintf(text, sizeof text, "debug (+%u)> ", more);
  buf_append(&d->out, text, strlen(text));
  ev_io_start(d->server->control.loop, &d->writable);
}

static void close_terminal(struct debugging *d) {
  if (d->fd < 0) return;
  ev_io_stop(d->server->control.loop, &d->readable);
  ev_io_stop(d->server->control.loop, &d->writable);
  if (buf_len(&d->out) && write(d->fd, buf_ptr(&d->out), buf_len(&d->out)) < 0) errno = 0; /* best effort */
  buf_release(&d->out);
  close(d->fd);
  d->fd = -1;
}

/* --- orders ----------------------------------------------------------------------------------------------- */

struct order {
  struct message message;
  const struct policy_kind *kind;
  unsigned long number;
  char *line; /* owned; NULL: all go on */
};

/* In the worker's thread. */
static void on_order(struct message *message, void *receiver) {
  struct order *order = (struct order *)message;
  (void)receiver;
  order->kind->debug(order->number, order->line);
  free(order->line);
  free(order);
}

/* A worker that has ended needs none. */
static void post(struct debugging *d, unsigned worker, unsigned long number, const char *line) {
  struct server *s = d->server;
  struct worker *to = worker < s->worker_count ? &s->workers[worker] : &s->control;
  struct order *order = memory_alloc(sizeof *order);
  *order =
      (struct order){{NULL, on_order}, d->debug.kind, number, line ? str_to_cstring(str_of(line)) : NULL};
  if (mailbox_post(&to->mailbox, &order->message)) return;
  free(order->line);
  free(order);
}

static struct stopped *first(struct debugging *d) {
  return list_is_empty(&d->queue) ? NULL : LIST_ENTRY(d->queue.next, struct stopped, link);
}

static void forget(struct stopped *stopped) {
  list_remove(&stopped->link);
  free(stopped);
}

static void be_busy(struct debugging *d, bool is_busy) {
  d->is_busy = is_busy;
  if (is_busy)
    ev_io_stop(d->server->control.loop, &d->readable);
  else
    ev_io_start(d->server->control.loop, &d->readable);
}

static void ask(struct debugging *d, const char *line) {
  const struct stopped *now = first(d);
  be_busy(d, true);
  post(d, now->worker, now->number, line);
}

/* Speaks of the first of the queue, if nobody is spoken of. */
static void speak(struct debugging *d) {
  const struct stopped *now = first(d);
  if (d->spoken || !now || d->fd < 0) return;
  char name[24] = "control";
  if (now->worker < d->server->worker_count) snprintf(name, sizeof name, "%u", now->worker);
  d->spoken = now->number;
  say_that(d, "\nstopped in worker %s:", name);
  ask(d, "stopped");
}

static bool is_word(struct str line, const char *word, const char *letter) {
  return str_equal(line, str_of(word)) || str_equal(line, str_of(letter));
}

static void note_repeated(struct debugging *d, struct str line) {
  bool repeats = is_word(line, "step", "s") || is_word(line, "next", "n");
  snprintf(d->repeated, sizeof d->repeated, "%.*s", repeats ? (int)line.len : 0, line.ptr);
}

static void obey(struct debugging *d, struct str line) {
  char text[LINE_MOST];
  if (line.len && line.ptr[line.len - 1] == '\n') line.len--;
  line = str_trim(line);
  if (is_word(line, "quit", "q")) {
    debugging_end(d);
    return;
  }
  if (!d->spoken) {
    if (line.len) say(d, "nothing is stopped now");
    return;
  }
  if (line.len) note_repeated(d, line);
  if (!line.len) line = str_of(d->repeated);
  if (!line.len) {
    prompt(d);
    return;
  }
  snprintf(text, sizeof text, "%.*s", STR_ARG(line));
  ask(d, text);
}

/* In the mode that edits lines each read gives one line; its input ends with an empty one (Ctrl-D). */
static void on_readable(struct ev_loop *loop, ev_io *watcher, int events) {
  struct debugging *d = watcher->data;
  char line[LINE_MOST];
  (void)loop, (void)events;
  ssize_t got = read(d->fd, line, sizeof line);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    debugging_end(d);
    return;
  }
  obey(d, (struct str){line, (size_t)got});
}

/* --- news ------------------------------------------------------------------------------------------------- */

struct news {
  struct message message;
  enum stop_news kind;
  unsigned worker;
  unsigned long number;
  char *text; /* owned */
};

static struct stopped *find(struct debugging *d, unsigned long number) {
  LIST_EACH(node, &d->queue) {
    struct stopped *stopped = LIST_ENTRY(node, struct stopped, link);
    if (stopped->number == number) return stopped;
  }
  return NULL;
}

/* Where a step ends is spoken of before what came meanwhile. */
static void on_begin(struct debugging *d, const struct news *news) {
  struct stopped *stopped = memory_alloc(sizeof *stopped);
  bool first_of_all = news->kind == STOP_AFTER_STEP && !(d->spoken && !d->is_busy);
  *stopped = (struct stopped){.number = news->number, .worker = news->worker};
  struct stopped *now = first_of_all ? first(d) : NULL;
  if (first_of_all && now && d->spoken)
    list_insert_after(&now->link, &stopped->link);
  else if (first_of_all)
    list_push_front(&d->queue, &stopped->link);
  else
    list_push_back(&d->queue, &stopped->link);
  if (!d->spoken || d->is_busy) return;
  say_that(d, "\none more is stopped, and waits for its turn: %s", news->text);
  prompt(d);
}

static void on_end(struct debugging *d, const struct news *news) {
  struct stopped *stopped = find(d, news->number);
  bool was_spoken_of = d->spoken == news->number;
  if (!stopped) return;
  forget(stopped);
  if (!was_spoken_of) return;
  d->spoken = 0;
  be_busy(d, false);
  if (*news->text) say_that(d, "\n%s", news->text);
  if (list_is_empty(&d->queue)) say(d, "nothing is stopped now");
}

static void on_answer(struct debugging *d, const struct news *news) {
  if (d->spoken != news->number) return;
  be_busy(d, false);
  if (*news->text) say(d, news->text);
}

static void take(struct debugging *d, const struct news *news) {
  switch (news->kind) {
  case STOP_BEGINS:
  case STOP_AFTER_STEP: on_begin(d, news); break;
  case STOP_ANSWERS: on_answer(d, news); break;
  case STOP_ENDS: on_end(d, news); break;
  case STOP_REMARK: say(d, news->text); break;
  }
  speak(d);
  if (news->kind == STOP_ANSWERS && d->spoken && !d->is_busy) prompt(d);
}

static void on_news(struct message *message, void *receiver) {
  struct news *news = (struct news *)message;
  struct server *s = ((struct worker *)receiver)->owner;
  if (s->debugging && !atomic_load(&s->debugging->debug.is_off)) take(s->debugging, news);
  free(news->text);
  free(news);
}

/* In the worker's thread. */
static void tell(struct policy_debug *debug, unsigned worker, enum stop_news kind, unsigned long number,
                 const char *text) {
  struct debugging *d = CONTAINER_OF(debug, struct debugging, debug);
  struct news *news = memory_alloc(sizeof *news);
  *news = (struct news){{NULL, on_news}, kind, worker, number, str_to_cstring(str_of(text))};
  if (mailbox_post(&d->server->control.mailbox, &news->message)) return;
  free(news->text);
  free(news);
}

/* --- life ------------------------------------------------------------------------------------------------- */

static bool refuse(const struct server_options *options, char **why) {
  if (config_number(options->config, CONFIG_daemon))
    return why_say(why, "--break wants a terminal, and a daemon has none: run it without daemon");
  return true;
}

bool debugging_open(struct server *s, char **why) {
  const struct server_options *options = s->options;
  if (!options->point_count) return true;
  if (!refuse(options, why)) return false;
  int fd = open("/dev/tty", O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (fd < 0) return why_say(why, "--break wants a terminal, and this process has none: %s", strerror(errno));
  signal(SIGTTIN, SIG_IGN); /* in the background of a shell a read fails instead, and debugging ends */
  struct debugging *d = memory_zalloc(sizeof *d);
  d->debug = (struct policy_debug){
      .kind = options->source.kind, .points = options->points, .count = options->point_count, .tell = tell};
  d->server = s;
  d->fd = fd;
  list_init(&d->queue);
  ev_io_init(&d->readable, on_readable, fd, EV_READ);
  ev_io_init(&d->writable, on_writable, fd, EV_WRITE);
  d->readable.data = d->writable.data = d;
  s->debugging = d;
  return true;
}

struct policy_debug *debugging_of(struct debugging *d) {
  return d ? &d->debug : NULL;
}

void debugging_begin(struct debugging *d) {
  if (d) ev_io_start(d->server->control.loop, &d->readable);
}

void debugging_end(struct debugging *d) {
  if (!d || atomic_exchange(&d->debug.is_off, true)) return;
  LIST_EACH(node, &d->queue) forget(LIST_ENTRY(node, struct stopped, link));
  say(d, "the breakpoints are off, and what was stopped goes on");
  log_info("debugging has ended: the breakpoints are off, and what was stopped goes on");
  for (unsigned i = 0; i <= d->server->worker_count; i++) post(d, i, 0, NULL);
  close_terminal(d);
}

void debugging_free(struct debugging *d) {
  if (!d) return;
  LIST_EACH(node, &d->queue) forget(LIST_ENTRY(node, struct stopped, link));
  close_terminal(d);
  free(d);
}
