// SPDX-License-Identifier: Apache-2.0
// handover: see the head. The hard problem is to start a program from a process with threads: between fork
// and exec only async-signal-safe calls are allowed, so everything, the environment included, is prepared
// before.
#include "runtime/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "net/tls_tickets.h"
#include "runtime/admin.h"
#include "runtime/server.h"

extern char **environ;

enum { FIRST_FD = 3, MOST_FDS = 4096 };

/* --- from a predecessor -----------------------------------------------------------------------------------
 */

static struct inherited {
  int fd;         /* -1: given out */
  char *said;     /* owned; as the predecessor's policy said it, NULL from systemd */
  struct addr at; /* as bound */
} * inherited;
static unsigned inherited_count;
static char program[PATH_MAX]; /* our own file, also after a newer one took its place */

static void describe(struct inherited *i, int fd, struct str *names) {
  struct sockaddr_storage name;
  socklen_t length = sizeof name;
  struct str said;
  i->fd = fd;
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  if (names->ptr && str_split(names, '\n', &said)) i->said = str_to_cstring(said);
  if (getsockname(fd, (struct sockaddr *)&name, &length) == 0)
    addr_from_socket(&i->at, (struct sockaddr *)&name, length);
}

/* The predecessor's sessions go on with us. */
static void adopt_tickets(void) {
  unsigned char keys[TLS_TICKETS_BYTES];
  const char *number = getenv("PERILUNE_TICKETS_FD");
  int fd = number ? atoi(number) : -1;
  unsetenv("PERILUNE_TICKETS_FD");
  if (fd < FIRST_FD) return;
  if (pread(fd, keys, sizeof keys, 0) == (ssize_t)sizeof keys) tls_tickets_adopt(keys);
  explicit_bzero(keys, sizeof keys);
  close(fd);
}

void handover_init(void) {
  const char *count = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID"),
             *names = getenv("PERILUNE_LISTENERS");
  ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
  if (length > 0) program[length] = '\0';
  if (count && pid && atoi(pid) == (int)getpid()) {
    struct str rest = str_of(names);
    inherited_count = (unsigned)atoi(count) < MOST_FDS ? (unsigned)atoi(count) : MOST_FDS;
    inherited = memory_zalloc(inherited_count * sizeof *inherited);
    for (unsigned i = 0; i < inherited_count; i++) describe(&inherited[i], FIRST_FD + (int)i, &rest);
    adopt_tickets();
  }
  unsetenv("LISTEN_FDS");
  unsetenv("LISTEN_PID");
  unsetenv("LISTEN_FDNAMES");
  unsetenv("PERILUNE_LISTENERS");
  unsetenv("PERILUNE_TICKETS_FD");
}

static bool is_for(const struct inherited *i, struct str said, const struct addr *addr) {
  char ours[ADDR_TEXT], theirs[ADDR_TEXT];
  if (i->fd < 0) return false;
  if (i->said) return str_equal(str_of(i->said), said);
  addr_format(addr, ours);
  addr_format(&i->at, theirs);
  return strcmp(ours, theirs) == 0;
}

bool handover_take(struct str said, const struct addr *addr, int *fds, unsigned count) {
  unsigned taken = 0;
  for (unsigned i = 0; i < inherited_count && taken < count; i++) {
    if (!is_for(&inherited[i], said, addr)) continue;
    fds[taken++] = inherited[i].fd;
    inherited[i].fd = -1;
  }
  for (unsigned i = taken; taken && i < count; i++) fds[i] = fcntl(fds[i % taken], F_DUPFD_CLOEXEC, FIRST_FD);
  return taken > 0;
}

void handover_drop_rest(void) {
  for (unsigned i = 0; i < inherited_count; i++) {
    char text[ADDR_TEXT];
    addr_format(&inherited[i].at, text);
    if (inherited[i].fd >= 0) {
      log_warn("a socket for %s was handed over, but nothing listens there", text);
      close(inherited[i].fd);
    }
    free(inherited[i].said);
  }
  free(inherited);
  inherited = NULL;
  inherited_count = 0;
}

/* --- to a successor ---------------------------------------------------------------------------------------
 */

struct handover {
  ev_io reader;          /* of the pipe */
  struct server *server; /* borrowed */
  pid_t pid;
  int pipe;
  void (*on_end)(struct server *server, const char *why);
};

/* What the child needs, all prepared. */
struct launch {
  char **environment; /* owned, with owned strings from `first_own` on */
  char *pid_digits;   /* the digits of LISTEN_PID within it */
  int *fds;           /* owned: copies with high numbers, in order: sockets, the pipe, the keys of tickets */
  unsigned count, first_own;
};

static void add(struct launch *l, unsigned *at, const char *text) {
  l->environment[(*at)++] = str_to_cstring(str_of(text));
}

static char *names_of(const struct server *server) {
  const struct listening *listening = server->listening;
  char *text = NULL;
  size_t bytes;
  FILE *out = open_memstream(&text, &bytes);
  fputs("PERILUNE_LISTENERS=", out);
  for (unsigned i = 0; i < listening->count; i++)
    for (unsigned w = 0; w < listening->workers; w++)
      fprintf(out, "%.*s\n", STR_ARG(listening->entries[i].said));
  if (server->admin) fputs(ADMIN_NAME, out);
  fclose(out);
  return text;
}

static void prepare_environment(struct launch *l, const struct server *server) {
  char text[64];
  unsigned count = 0, at = 0;
  while (environ[count]) count++;
  l->environment = memory_zalloc((count + 6) * sizeof *l->environment);
  for (; at < count; at++) l->environment[at] = environ[at];
  l->first_own = at;
  l->environment[at++] = names_of(server);
  snprintf(text, sizeof text, "LISTEN_FDS=%u", l->count);
  add(l, &at, text);
  snprintf(text, sizeof text, "PERILUNE_READY_FD=%u", FIRST_FD + l->count);
  add(l, &at, text);
  snprintf(text, sizeof text, "PERILUNE_TICKETS_FD=%u", FIRST_FD + l->count + 1);
  add(l, &at, text);
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

/* Copies above all target numbers, so that placing one does not overwrite another; the pipe's end and the keys
 * are the last. */
static void prepare_fds(struct launch *l, const struct server *server, int ready) {
  const struct listening *listening = server->listening;
  unsigned total = listening->count * listening->workers + 1;
  int above = FIRST_FD + (int)total + 2, keys = keys_of_tickets();
  l->fds = memory_alloc((total + 2) * sizeof *l->fds);
  for (unsigned i = 0; i < listening->count; i++)
    for (unsigned w = 0; w < listening->workers; w++)
      l->fds[l->count++] = fcntl(listening->entries[i].fds[w], F_DUPFD_CLOEXEC, above);
  if (server->admin) l->fds[l->count++] = fcntl(admin_socket(server->admin), F_DUPFD_CLOEXEC, above);
  l->fds[l->count] = fcntl(ready, F_DUPFD_CLOEXEC, above);
  l->fds[l->count + 1] = fcntl(keys, F_DUPFD_CLOEXEC, above);
  close(keys);
}

static void free_launch(struct launch *l) {
  for (unsigned i = l->first_own; l->environment[i]; i++) free(l->environment[i]);
  free(l->environment);
  for (unsigned i = 0; i < l->count + 2; i++) close(l->fds[i]);
  free(l->fds);
}

/* In the child: async-signal-safe calls only. */
static void become(const struct launch *l, char **arguments) {
  pid_t pid = getpid();
  for (int i = 9; i >= 0; i--, pid /= 10) l->pid_digits[i] = (char)('0' + pid % 10);
  for (unsigned i = 0; i < l->count + 2; i++) dup2(l->fds[i], FIRST_FD + (int)i);
  execve(program, arguments, l->environment);
  _exit(127);
}

static void on_pipe(struct ev_loop *loop, ev_io *watcher, int events) {
  struct handover *h = (struct handover *)watcher;
  char byte;
  int status = 0;
  (void)loop, (void)events;
  ssize_t got = read(h->pipe, &byte, 1);
  if (got < 0 && errno == EINTR) return;
  if (got == 1) {
    log_info("process %d has taken over", (int)h->pid);
    h->on_end(h->server, NULL);
    return;
  }
  waitpid(h->pid, &status, 0);
  char why[128];
  if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
    snprintf(why, sizeof why, "%.100s cannot be run", program);
  else
    snprintf(why, sizeof why, "process %d ended before it served; see its messages above", (int)h->pid);
  h->on_end(h->server, why);
}

struct handover *handover_start(struct server *server, char **arguments,
                                void (*on_end)(struct server *server, const char *why), char **why) {
  int ends[2];
  struct launch launch = {0};
  if (pipe2(ends, O_CLOEXEC) != 0) {
    *why = str_to_cstring(str_of(strerror(errno)));
    return NULL;
  }
  prepare_fds(&launch, server, ends[1]);
  prepare_environment(&launch, server);
  pid_t pid = fork();
  if (pid == 0) become(&launch, arguments);
  free_launch(&launch);
  close(ends[1]);
  if (pid < 0) {
    *why = str_to_cstring(str_of(strerror(errno)));
    close(ends[0]);
    return NULL;
  }
  struct handover *h = memory_zalloc(sizeof *h);
  *h = (struct handover){.server = server, .pid = pid, .pipe = ends[0], .on_end = on_end};
  ev_io_init(&h->reader, on_pipe, h->pipe, EV_READ);
  ev_io_start(server->control.loop, &h->reader);
  return h;
}

void handover_free(struct handover *h) {
  if (!h) return;
  ev_io_stop(h->server->control.loop, &h->reader);
  close(h->pipe);
  free(h);
}
