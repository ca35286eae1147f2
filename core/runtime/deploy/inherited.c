// SPDX-License-Identifier: Apache-2.0
// inherited: sockets, and what belongs to them, that an older process or systemd has passed to this one. The other
// side is runtime/deploy/handover.
#include "runtime/deploy/inherited.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "net/tls_tickets.h"
#include "runtime/deploy/ancestors.h"
#include "runtime/pid_file.h"
#include "shared/orders.h"

enum { FIRST_FD = INHERITED_FIRST_FD, MOST_FDS = 1 << 20 };

static struct inherited {
  int fd;     /* -1: given out */
  char *said; /* owned; as the predecessor's policy said it, NULL from systemd */
  enum socket_owner owner;
  struct addr at; /* as bound */
} * inherited;
static unsigned inherited_count;

static void describe(struct inherited *i, int fd, struct str *names) {
  struct sockaddr_storage name;
  socklen_t length = sizeof name;
  struct str said;
  i->fd = fd;
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  if (names->ptr && str_split(names, '\n', &said)) i->said = str_to_cstring(said);
  i->owner = i->said ? OWNER_PREDECESSOR : OWNER_MANAGER;
  if (getsockname(fd, (struct sockaddr *)&name, &length) == 0)
    addr_from_socket(&i->at, (struct sockaddr *)&name, length);
}

/* What the environment says is for this process. */
static bool is_successor(void) {
  const char *pid = getenv("LISTEN_PID");
  return pid && atoi(pid) == (int)getpid();
}

/* One descriptor that the predecessor names in the environment; -1: none. */
static int inherited_fd(const char *name) {
  const char *number = getenv(name);
  int fd = number ? atoi(number) : -1;
  unsetenv(name);
  return fd < FIRST_FD || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ? -1 : fd;
}

/* The predecessor's sessions go on with us. */
static void adopt_tickets(void) {
  unsigned char keys[TLS_TICKETS_BYTES];
  int fd = inherited_fd("PERILUNE_TICKETS_FD");
  if (fd < 0) return;
  if (pread(fd, keys, sizeof keys, 0) == (ssize_t)sizeof keys) tls_tickets_adopt(keys);
  explicit_bzero(keys, sizeof keys);
  close(fd);
}

/* All of what the predecessor has put into memory without a name. Malloc'd, or NULL. */
static char *read_all(int fd, size_t *length) {
  struct stat info;
  if (fd < 0 || fstat(fd, &info) != 0) return NULL;
  char *text = memory_zalloc((size_t)info.st_size + 1);
  ssize_t got = pread(fd, text, (size_t)info.st_size, 0);
  *length = got > 0 ? (size_t)got : 0;
  text[*length] = '\0';
  close(fd);
  return text;
}

/* What people have said of backends holds here, too. */
static void adopt_orders(void) {
  size_t length = 0;
  char *text = read_all(inherited_fd("PERILUNE_ORDERS_FD"), &length);
  if (text && !orders_read((struct str){text, length}))
    log_warn("what 'perilune backend' was told before the upgrade could not all be read: see 'perilune "
             "backend list'");
  free(text);
}

/* Behind the names: the numbers of those sockets that the predecessor has from the service manager. */
static void note_managed(struct str rest) {
  struct str line;
  while (rest.ptr && str_split(&rest, '\n', &line)) {
    unsigned i = line.len ? (unsigned)strtoul(line.ptr, NULL, 10) : inherited_count;
    if (i < inherited_count) inherited[i].owner = OWNER_MANAGER;
  }
}

/* What the predecessor's policy calls the sockets, a line for each: many are too much for an environment. Malloc'd, or
 * NULL. */
static char *inherited_names(void) {
  const char *text = getenv("PERILUNE_LISTENERS");
  size_t length;
  char *names = read_all(inherited_fd("PERILUNE_LISTENERS_FD"), &length);
  return names || !text ? names : str_to_cstring(str_of(text));
}

static struct {
  char *names;    /* owned; a line for each; NULL: none */
  int first, end; /* their descriptors, in that order */
} caches;

void inherited_before_policy(void) {
  const char *names = getenv("PERILUNE_CACHES");
  if (is_successor()) adopt_orders();
  caches.first = caches.end = inherited_fd("PERILUNE_CACHES_FD");
  if (is_successor() && names && caches.first >= 0) caches.names = str_to_cstring(str_of(names));
  unsetenv("PERILUNE_CACHES");
  unsetenv("PERILUNE_ORDERS_FD");
  for (const char *at = caches.names; at && *at; at++)
    if (*at == '\n') fcntl(caches.end++, F_SETFD, FD_CLOEXEC);
}

int inherited_cache(struct str name) {
  struct str rest = str_of(caches.names ? caches.names : ""), line;
  for (int fd = caches.first; fd < caches.end && str_split(&rest, '\n', &line); fd++)
    if (str_equal(line, name)) return fd;
  return -1;
}

static void drop_caches(void) {
  for (int fd = caches.first; fd < caches.end; fd++) close(fd);
  free(caches.names);
  caches.names = NULL;
  caches.end = caches.first;
}

void inherited_init(struct ancestors *ancestors) {
  const char *count = getenv("LISTEN_FDS"), *kin = getenv("PERILUNE_LINEAGE_FD");
  bool is_ours = is_successor();
  ancestors_init(ancestors, is_ours && kin ? atoi(kin) : -1);
  if (count && is_ours) {
    char *names = inherited_names();
    struct str rest = str_of(names);
    inherited_count = (unsigned)atoi(count) < MOST_FDS ? (unsigned)atoi(count) : MOST_FDS;
    inherited = memory_zalloc(inherited_count * sizeof *inherited);
    for (unsigned i = 0; i < inherited_count; i++) describe(&inherited[i], FIRST_FD + (int)i, &rest);
    note_managed(rest);
    free(names);
    adopt_tickets();
    pid_file_inherit(inherited_fd("PERILUNE_PID_FD"));
  }
  unsetenv("LISTEN_FDS");
  unsetenv("LISTEN_PID");
  unsetenv("LISTEN_FDNAMES");
  unsetenv("PERILUNE_LISTENERS");
  unsetenv("PERILUNE_LISTENERS_FD");
  unsetenv("PERILUNE_PID_FD");
  unsetenv("PERILUNE_LINEAGE_FD");
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

bool inherited_take(struct str said, const struct addr *addr, int *fds, unsigned count,
                    enum socket_owner *owner) {
  unsigned taken = 0;
  for (unsigned i = 0; i < inherited_count && taken < count; i++) {
    if (!is_for(&inherited[i], said, addr)) continue;
    fds[taken++] = inherited[i].fd;
    *owner = inherited[i].owner;
    inherited[i].fd = -1;
  }
  for (unsigned i = taken; taken && i < count; i++) fds[i] = fcntl(fds[i % taken], F_DUPFD_CLOEXEC, FIRST_FD);
  return taken > 0;
}

void inherited_drop_rest(void) {
  drop_caches();
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
