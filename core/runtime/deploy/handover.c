// SPDX-License-Identifier: Apache-2.0
// handover: see the header. The hard problem is to start a program from a process with threads: between fork
// and exec only async-signal-safe calls are allowed, so everything, the environment included, is prepared
// before.
#include "runtime/deploy/handover.h"
#include "runtime/deploy/inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/check.h"
#include "base/container.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/why.h"
#include "net/rewatch.h"
#include "net/tls_tickets.h"
#include "runtime/command.h"
#include "runtime/observe/admin.h"
#include "runtime/server.h"
#include "shared/cache_kept.h"
#include "shared/orders.h"
#include "shared/registry.h"

extern char **environ;

/* Behind the sockets: the pipe that the successor answers in, the keys of tickets, the two ends of the ancestors' pipe,
 * the sockets' names, the pid file with its lock, and what people have said of backends. */
enum { FIRST_FD = INHERITED_FIRST_FD, EXTRA_FDS = 7, CACHES_MOST = 32 };

static char program[PATH_MAX]; /* our own file, also after a newer one took its place */

void handover_note_program(void) {
  ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
  if (length > 0) program[length] = '\0';
}

/* --- to a successor ------------------------------------------------------------------------------------- */

enum { ANSWER_BYTES = 400 };

struct handover {
  ev_io reader; /* of the pipe */
  struct rewatch rewatch;
  struct timer timer;
  struct server *server; /* borrowed */
  pid_t pid;             /* 0: it serves, or is no more */
  int pipe;
  unsigned timeout_ms;
  bool has_ended;
  size_t length;
  char answer[ANSWER_BYTES + 1]; /* "1", or "!" and why it does not serve */
  handover_ended *on_end;
};

#define NAMES_PREFIX "PERILUNE_LISTENERS="
enum {
  NAMES_MOST = 64 << 10
}; /* a program that is older than ours finds them in the environment, if they fit */

/* What the child needs, all prepared. */
struct launch {
  char *names;        /* owned; the sockets', as an environment holds them */
  char **environment; /* owned, with owned strings from `first_own` on */
  char *pid_digits;   /* the digits of LISTEN_PID within it */
  char *caches;       /* owned: their names, a line for each */
  int *fds; /* owned: copies with high numbers, in order: sockets, the extra ones, stores of caches */
  unsigned count, first_own;
  unsigned extra;    /* behind the sockets */
  bool has_pid_file; /* else another descriptor holds its place */
};

static void add(struct launch *l, unsigned *at, const char *text) {
  l->environment[(*at)++] = str_to_cstring(str_of(text));
}

/* By their numbers: whose file is not ours is not the successor's either. */
static void name_managed(const struct server *server, FILE *out) {
  const struct listening *listening = server->listening;
  unsigned at = listening->count * listening->workers;
  for (unsigned i = 0; i < at; i++)
    if (listening->entries[i / listening->workers].file.owner == OWNER_MANAGER) fprintf(out, "%u\n", i);
  if (server->admin && admin_file(server->admin)->owner == OWNER_MANAGER) fprintf(out, "%u\n", at);
  if (server->admin) at++;
  if (server->command && command_file(server->command)->owner == OWNER_MANAGER) fprintf(out, "%u\n", at);
}

static char *names_of(const struct server *server) {
  const struct listening *listening = server->listening;
  char *text = NULL;
  size_t bytes;
  FILE *out = open_memstream(&text, &bytes);
  fputs(NAMES_PREFIX, out);
  for (unsigned i = 0; i < listening->count; i++)
    for (unsigned w = 0; w < listening->workers; w++)
      fprintf(out, "%.*s\n", STR_ARG(listening->entries[i].said));
  if (server->admin) fputs(ADMIN_NAME "\n", out);
  if (command_socket(server->command) >= 0) fputs(COMMAND_NAME "\n", out);
  name_managed(server, out);
  fclose(out);
  return text;
}

static void prepare_environment(struct launch *l) {
  char text[64];
  unsigned count = 0, at = 0;
  while (environ[count]) count++;
  l->environment = memory_zalloc((count + 12) * sizeof *l->environment);
  for (unsigned i = 0; i < count; i++) {
    bool is_ours =
        strncmp(environ[i], "WATCHDOG_PID=", 13) == 0; /* the watchdog watches the successor then */
    if (!is_ours) l->environment[at++] = environ[i];
  }
  l->first_own = at;
  if (strlen(l->names) < NAMES_MOST) add(l, &at, l->names);
  snprintf(text, sizeof text, "PERILUNE_LISTENERS_FD=%u", FIRST_FD + l->count + 4);
  add(l, &at, text);
  snprintf(text, sizeof text, "PERILUNE_PID_FD=%u", FIRST_FD + l->count + 5);
  if (l->has_pid_file) add(l, &at, text);
  snprintf(text, sizeof text, "LISTEN_FDS=%u", l->count);
  add(l, &at, text);
  snprintf(text, sizeof text, "PERILUNE_READY_FD=%u", FIRST_FD + l->count);
  add(l, &at, text);
  snprintf(text, sizeof text, "PERILUNE_TICKETS_FD=%u", FIRST_FD + l->count + 1);
  add(l, &at, text);
  snprintf(text, sizeof text, "PERILUNE_LINEAGE_FD=%u", FIRST_FD + l->count + 2);
  add(l, &at, text);
  snprintf(text, sizeof text, "PERILUNE_ORDERS_FD=%u", FIRST_FD + l->count + 6);
  add(l, &at, text);
  snprintf(text, sizeof text, "PERILUNE_CACHES_FD=%u", FIRST_FD + l->count + EXTRA_FDS);
  add(l, &at, text);
  add(l, &at, l->caches);
  add(l, &at, "LISTEN_PID=0000000000");
  l->pid_digits = l->environment[at - 1] + sizeof "LISTEN_PID=" - 1;
}

/* Keys go through memory that has no name, for an environment can be read by others of the same user. */
static int keys_of_tickets(void) {
  unsigned char keys[TLS_TICKETS_BYTES];
  int fd = memfd_create("tickets", MFD_CLOEXEC);
  tls_tickets_copy(keys);
  if (fd >= 0 && write(fd, keys, sizeof keys) < 0)
    log_warn("TLS sessions end with this process: %s", strerror(errno));
  explicit_bzero(keys, sizeof keys);
  return fd;
}

static int in_memory(const char *name, const char *text, size_t length) {
  int fd = memfd_create(name, MFD_CLOEXEC);
  if (fd >= 0 && write(fd, text, length) == (ssize_t)length) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

static int orders_in_memory(void) {
  char *text = NULL;
  size_t bytes;
  FILE *out = open_memstream(&text, &bytes);
  orders_write(out);
  fclose(out);
  int fd = in_memory("orders", text, bytes);
  free(text);
  return fd;
}

/* Names with a line feed in them are not handed over: their caches begin empty. */
static void prepare_caches(struct launch *l, const struct server *server, int above) {
  char *text = NULL;
  size_t bytes;
  unsigned count;
  FILE *out = open_memstream(&text, &bytes);
  struct registry_entry **entries = registry_hold_all(server->registry, cache_kind.name, &count);
  fputs("PERILUNE_CACHES=", out);
  for (unsigned i = 0; i < count; i++) {
    const struct kept_cache *kept = registry_object(entries[i]);
    struct str name = registry_name(entries[i]);
    bool is_handed = kept->cache && str_find(name, '\n') == name.len && l->extra < EXTRA_FDS + CACHES_MOST;
    if (is_handed) {
      int fd = store_descriptor(cache_store(kept->cache));
      l->fds[l->count + l->extra++] = fcntl(fd, F_DUPFD_CLOEXEC, above);
      fprintf(out, "%.*s\n", STR_ARG(name));
    }
    registry_release(server->registry, entries[i]);
  }
  free(entries);
  fclose(out);
  l->caches = text;
}

/* Copies above all target numbers, so that placing one does not overwrite another; the pipe's end and the keys
 * are the last. */
static void prepare_fds(struct launch *l, const struct server *server, int ready) {
  const struct listening *listening = server->listening;
  unsigned total = listening->count * listening->workers + 2; /* the status page's and the commands' */
  int above = FIRST_FD + (int)total + EXTRA_FDS + CACHES_MOST, keys = keys_of_tickets();
  const char *said = l->names + sizeof NAMES_PREFIX - 1;
  int names = in_memory("listeners", said, strlen(said)), orders = orders_in_memory();
  l->fds = memory_alloc((total + EXTRA_FDS + CACHES_MOST) * sizeof *l->fds);
  for (unsigned i = 0; i < listening->count; i++)
    for (unsigned w = 0; w < listening->workers; w++)
      l->fds[l->count++] = fcntl(listening->entries[i].fds[w], F_DUPFD_CLOEXEC, above);
  if (server->admin) l->fds[l->count++] = fcntl(admin_socket(server->admin), F_DUPFD_CLOEXEC, above);
  int command = command_socket(server->command);
  if (command >= 0) l->fds[l->count++] = fcntl(command, F_DUPFD_CLOEXEC, above);
  l->fds[l->count] = fcntl(ready, F_DUPFD_CLOEXEC, above);
  l->fds[l->count + 1] = fcntl(keys, F_DUPFD_CLOEXEC, above);
  l->fds[l->count + 2] = fcntl(server->ancestors.read_end, F_DUPFD_CLOEXEC, above);
  l->fds[l->count + 3] = fcntl(server->ancestors.write_end, F_DUPFD_CLOEXEC, above);
  l->fds[l->count + 4] = fcntl(names, F_DUPFD_CLOEXEC, above);
  l->has_pid_file = server->pid_file.fd >= 0;
  l->fds[l->count + 5] = fcntl(l->has_pid_file ? server->pid_file.fd : names, F_DUPFD_CLOEXEC, above);
  l->fds[l->count + 6] = fcntl(orders, F_DUPFD_CLOEXEC, above);
  l->extra = EXTRA_FDS;
  prepare_caches(l, server, above);
  if (keys >= 0) close(keys);
  if (names >= 0) close(names);
  if (orders >= 0) close(orders);
}

/* Where descriptors have run out: a successor that lacks one of its sockets would be worse than none. */
static bool is_complete(const struct launch *l) {
  for (unsigned i = 0; i < l->count + l->extra; i++)
    if (l->fds[i] < 0) {
      errno = EMFILE;
      return false;
    }
  return true;
}

static void free_launch(struct launch *l) {
  for (unsigned i = l->first_own; l->environment[i]; i++) free(l->environment[i]);
  free(l->environment);
  free(l->names);
  free(l->caches);
  for (unsigned i = 0; i < l->count + l->extra; i++)
    if (l->fds[i] >= 0) close(l->fds[i]);
  free(l->fds);
}

/* In the child: async-signal-safe calls only. */
static void become(const struct launch *l, char **arguments) {
  pid_t pid = getpid();
  int ready = FIRST_FD + (int)l->count;
  for (int i = 9; i >= 0; i--, pid /= 10) l->pid_digits[i] = (char)('0' + pid % 10);
  for (unsigned i = 0; i < l->count + l->extra; i++) dup2(l->fds[i], FIRST_FD + (int)i);
  execve(program, arguments, l->environment);
  const char *why = strerrordesc_np(errno);
  if (write(ready, "!", 1) == 1 && write(ready, program, strlen(program)) > 0 && write(ready, ": ", 2) == 2)
    _exit(write(ready, why, strlen(why)) > 0 ? 127 : 126);
  _exit(126);
}

/* It is not left to itself, whatever it is at: it might begin to serve when nobody expects it any more. */
static int end_successor(struct handover *h) {
  int status = 0;
  if (h->pid) {
    kill(h->pid, SIGKILL);
    waitpid(h->pid, &status, 0);
  }
  h->pid = 0;
  return status;
}

/* Its outcome is told once, whatever becomes readable afterwards. */
static void end_wait(struct handover *h) {
  CHECK(!h->has_ended);
  h->has_ended = true;
  rewatch_stop(&h->rewatch, h->server->control.loop);
  timer_stop(&h->timer);
}

static void on_overdue(struct timer *timer) {
  struct handover *h = CONTAINER_OF(timer, struct handover, timer);
  char why[128];
  end_wait(h);
  snprintf(why, sizeof why, "process %d did not serve within %g s, and was killed", (int)h->pid,
           h->timeout_ms / 1000.0);
  end_successor(h);
  h->on_end(h->server, 0, why);
}

/* The pipe's end comes with the process's, or shortly before it. */
static void on_closed(struct handover *h) {
  char why[ANSWER_BYTES];
  end_wait(h);
  int pid = (int)h->pid, status = end_successor(h);
  if (h->length > 1)
    snprintf(why, sizeof why, "%s", h->answer + 1);
  else if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
    snprintf(why, sizeof why, "process %d ended before it served, by signal %d", pid, WTERMSIG(status));
  else
    snprintf(why, sizeof why, "process %d ended before it served; is it a perilune?", pid);
  h->on_end(h->server, 0, why);
}

static void on_pipe(struct ev_loop *loop, ev_io *watcher, int events) {
  struct handover *h = (struct handover *)watcher;
  if (rewatch_is_needed(&h->rewatch, loop, events)) return;
  ssize_t got = read(h->pipe, h->answer + h->length, ANSWER_BYTES - h->length);
  if (got < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (got > 0) h->length += (size_t)got;
  if (h->length && h->answer[0] == '1') {
    pid_t pid = h->pid;
    end_wait(h);
    log_info("process %d has taken over", (int)pid);
    h->pid = 0;
    h->on_end(h->server, pid, NULL);
  } else if (got <= 0 || h->length == ANSWER_BYTES) {
    on_closed(h);
  }
}

/* Takes over the pipe. */
static struct handover *wait_for(struct server *server, pid_t pid, int pipe, unsigned timeout_ms,
                                 handover_ended *on_end) {
  struct handover *h = memory_zalloc(sizeof *h);
  *h = (struct handover){
      .server = server, .pid = pid, .pipe = pipe, .timeout_ms = timeout_ms, .on_end = on_end};
  fcntl(pipe, F_SETFL, O_NONBLOCK);
  ev_io_init(&h->reader, on_pipe, pipe, EV_READ);
  rewatch_init(&h->rewatch, &h->reader);
  ev_io_start(server->control.loop, &h->reader);
  timer_init(&h->timer, server->control.loop, on_overdue);
  timer_set(&h->timer, timeout_ms);
  return h;
}

/* -1, with errno, where it fails. The read end is for us. */
static pid_t launch_successor(struct server *server, char **arguments, int ends[2]) {
  struct launch launch = {0};
  launch.names = names_of(server);
  prepare_fds(&launch, server, ends[1]);
  prepare_environment(&launch);
  pid_t pid = is_complete(&launch) ? fork() : -1;
  if (pid == 0) become(&launch, arguments);
  int code = errno;
  free_launch(&launch);
  errno = code;
  return pid;
}

struct handover *handover_start(struct server *server, char **arguments, unsigned timeout_ms,
                                handover_ended *on_end, char **why) {
  int ends[2];
  pid_t pid = -1;
  bool piped = ancestors_ensure(&server->ancestors) && pipe2(ends, O_CLOEXEC) == 0;
  if (piped) pid = launch_successor(server, arguments, ends);
  if (pid < 0) why_say(why, "%s", strerror(errno));
  if (piped) close(ends[1]);
  if (pid >= 0) return wait_for(server, pid, ends[0], timeout_ms, on_end);
  if (piped) close(ends[0]);
  return NULL;
}

void handover_free(struct handover *h) {
  if (!h) return;
  end_successor(h);
  if (!h->has_ended) end_wait(h);
  close(h->pipe);
  free(h);
}
