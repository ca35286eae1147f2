// SPDX-License-Identifier: Apache-2.0
// client: plain blocking code; this process does nothing else. The hard problem is whom it talks to: anybody may bind
// an abstract name, and what comes from there is shown on a terminal. So the other end must be root, who asks, or the
// owner of the file that names it; and what is printed is escaped.
#include "runtime/client.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "runtime/command.h"
#include "runtime/server.h"

enum { NAME_BYTES = 100, MOST_FOUND = 16, READ_BYTES = 65536, PATIENCE_MS = 3000, PING_MS = 5000 };

static int complain(const char *what, const char *detail) {
  fprintf(stderr, "perilune: %s%s\n", what, detail);
  return EXIT_FAILED;
}

static struct ucred peer_of(int fd) {
  struct ucred who = {0, (uid_t)-1, (gid_t)-1};
  socklen_t length = sizeof who;
  getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length);
  return who;
}

static bool is_trusted(int fd, uid_t owner) {
  uid_t uid = peer_of(fd).uid;
  return uid == 0 || uid == geteuid() || uid == owner;
}

/* An address of "@name" (abstract) or a path. */
static int connect_to(const char *name) {
  struct sockaddr_un addr = {.sun_family = AF_UNIX};
  size_t length = strlen(name);
  if (length >= sizeof addr.sun_path) return errno = ENAMETOOLONG, -1;
  memcpy(addr.sun_path, name, length);
  if (name[0] == '@') addr.sun_path[0] = '\0';
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (name[0] != '@'));
  if (connect(fd, (struct sockaddr *)&addr, bytes) == 0) return fd;
  int code = errno;
  close(fd);
  errno = code;
  return -1;
}

/* The connection, if its other end may be who answers; else -1, and what is wrong was said. */
static int check_trusted(int fd, const char *name, uid_t owner) {
  if (fd < 0) {
    fprintf(stderr, "perilune: %s: %s\n", name, strerror(errno));
  } else if (!is_trusted(fd, owner)) {
    fprintf(stderr,
            "perilune: %s belongs to user %u, who is neither root nor you nor the owner of the file\n", name,
            (unsigned)peer_of(fd).uid);
    close(fd);
    fd = -1;
  }
  return fd;
}

/* The abstract sockets of running proxies, from /proc/net/unix. */
static unsigned find_running(char found[MOST_FOUND][NAME_BYTES]) {
  char line[512];
  unsigned count = 0;
  FILE *file = fopen("/proc/net/unix", "re");
  while (file && count < MOST_FOUND && fgets(line, sizeof line, file)) {
    char *name = strstr(line, "@" COMMAND_SOCKET_PREFIX);
    if (!name || strstr(line, " 00010000 ") == NULL) continue; /* listening ones */
    name[strcspn(name, "\n")] = '\0';
    size_t digits = strspn(name + sizeof "@" COMMAND_SOCKET_PREFIX - 1, "0123456789");
    if (!digits || name[sizeof "@" COMMAND_SOCKET_PREFIX - 1 + digits]) continue; /* somebody else's */
    snprintf(found[count++], NAME_BYTES, "%s", name);
  }
  if (file) fclose(file);
  return count;
}

static unsigned keep_trusted(char found[MOST_FOUND][NAME_BYTES], unsigned count) {
  unsigned kept = 0;
  for (unsigned i = 0; i < count; i++) {
    int fd = connect_to(found[i]);
    if (fd >= 0 && is_trusted(fd, geteuid())) memmove(found[kept++], found[i], NAME_BYTES);
    if (fd >= 0) close(fd);
  }
  return kept;
}

static int find_only(void) {
  char found[MOST_FOUND][NAME_BYTES];
  unsigned all = find_running(found), count = keep_trusted(found, all);
  if (count == 1) return check_trusted(connect_to(found[0]), found[0], geteuid());
  if (count == 0) {
    complain(all ? "no proxy of yours or of root is running; name another's by --pid-file or --socket"
                 : "no proxy is running; start one with 'perilune run SCRIPT'",
             "");
    return -1;
  }
  complain("several proxies are running; say which, by --pid-file, or by --socket as here:", "");
  for (unsigned i = 0; i < count; i++)
    fprintf(stderr, "  process %s: --socket %s\n", found[i] + sizeof "@" COMMAND_SOCKET_PREFIX - 1, found[i]);
  return -1;
}

static int find_by_pid_file(const char *path) {
  char name[NAME_BYTES];
  struct stat info;
  int pid = 0;
  FILE *file = fopen(path, "re");
  if (!file) {
    fprintf(stderr, "perilune: cannot open the pid file %s: %s%s\n", path, strerror(errno),
            errno == ENOENT ? "; a proxy that has ended has removed it" : "");
    return -1;
  }
  bool has_number = fscanf(file, "%d", &pid) == 1 && pid > 0 && fstat(fileno(file), &info) == 0;
  fclose(file);
  if (!has_number) {
    complain("no process id in ", path);
    return -1;
  }
  snprintf(name, sizeof name, "@" COMMAND_SOCKET_PREFIX "%d", pid);
  int fd = connect_to(name);
  if (fd < 0) complain("no proxy answers for the process id in ", path);
  return fd < 0 ? -1 : check_trusted(fd, name, info.st_uid);
}

/* A socket that lies in a folder of others may be anybody's; its owner is who the caller has named. */
static int find(const struct client_target *target) {
  struct stat info;
  if (target->pid_file) return find_by_pid_file(target->pid_file);
  if (!target->socket) return find_only();
  uid_t owner = lstat(target->socket, &info) == 0 && S_ISSOCK(info.st_mode) ? info.st_uid : geteuid();
  return check_trusted(connect_to(target->socket), target->socket, owner);
}

/* --- the answer --------------------------------------------------------------------------------------------- */

struct answer {
  char *text; /* owned */
  size_t length;
};

static bool is_readable(int fd, int timeout_ms) {
  struct pollfd watched = {.fd = fd, .events = POLLIN};
  int ready;
  do ready = poll(&watched, 1, timeout_ms);
  while (ready < 0 && errno == EINTR);
  return ready > 0;
}

/* Some commands take long; but a proxy whose loop turns answers to this one at once, whatever it answers. */
static bool is_alive(const struct client_target *target) {
  int fd = find(target);
  bool alive = fd >= 0 && write(fd, "ping\n", 5) == 5 && is_readable(fd, PING_MS);
  if (fd >= 0) close(fd);
  return alive;
}

static bool wait_for_more(const struct client_target *target, int fd) {
  while (!is_readable(fd, PATIENCE_MS)) {
    if (is_alive(target)) continue;
    fprintf(
        stderr,
        "perilune: the proxy has not answered for %d s: its control worker does not come back to its loop; "
        "'kill -TERM %d' stops it all the same\n",
        (PATIENCE_MS + PING_MS) / 1000, (int)peer_of(fd).pid);
    return false;
  }
  return true;
}

/* All of it, to the end of the connection. */
static bool read_answer(const struct client_target *target, int fd, struct answer *answer) {
  ssize_t got;
  do {
    if (!wait_for_more(target, fd)) return false;
    char *text = realloc(answer->text, answer->length + READ_BYTES + 1);
    if (!text) return false;
    answer->text = text;
    got = read(fd, text + answer->length, READ_BYTES);
    if (got > 0) answer->length += (size_t)got;
  } while (got > 0 || (got < 0 && errno == EINTR));
  answer->text[answer->length] = '\0';
  return true;
}

/* How many bytes at `at` are one character that a terminal only shows; 0: none. */
static size_t shown(const unsigned char *at, size_t left) {
  if (*at == '\n' || *at == '\t' || (*at >= 0x20 && *at < 0x7f)) return 1;
  size_t bytes = *at >= 0xf0 && *at < 0xf5 ? 4 : *at >= 0xe0 ? 3 : 2;
  if (*at < 0xc2 || *at > 0xf4 || bytes > left) return 0;
  for (size_t i = 1; i < bytes; i++)
    if ((at[i] & 0xc0) != 0x80) return 0;
  return *at == 0xc2 && at[1] < 0xa0 ? 0 : bytes; /* the controls beyond ASCII */
}

static void print_escaped(FILE *out, const char *text, size_t length) {
  for (size_t at = 0, bytes; at < length; at += bytes ? bytes : 1) {
    bytes = shown((const unsigned char *)text + at, length - at);
    if (bytes)
      fwrite(text + at, 1, bytes, out);
    else
      fprintf(out, "\\x%02x", (unsigned char)text[at]);
  }
}

/* The first line is the exit code, the rest is for people. */
static int print_answer(const struct answer *answer) {
  char *end = answer->length ? strchr(answer->text, '\n') : NULL;
  if (!end) return complain("the proxy ended without an answer", "");
  int code = atoi(answer->text);
  if (code != EXIT_FINE) fputs("perilune: ", stderr);
  print_escaped(code == EXIT_FINE ? stdout : stderr, end + 1,
                answer->length - (size_t)(end + 1 - answer->text));
  return code;
}

/* A proxy that turns us away says why, whether or not it has taken the line. */
int client_command(const struct client_target *target, const char *line) {
  struct answer answer = {NULL, 0};
  char text[256];
  int code = EXIT_FAILED, fd = find(target);
  if (fd < 0) return EXIT_FAILED;
  signal(SIGPIPE, SIG_IGN);
  size_t length = (size_t)snprintf(text, sizeof text, "%s\n", line);
  ssize_t sent = write(fd, text, length);
  (void)sent;
  if (read_answer(target, fd, &answer)) code = print_answer(&answer);
  free(answer.text);
  close(fd);
  return code;
}
