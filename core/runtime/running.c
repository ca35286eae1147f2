// SPDX-License-Identifier: Apache-2.0
// running: plain blocking code. The hard problem is to know who is at the other end: anybody may bind an abstract
// name. So it must belong to root, to the user of the command, or to the owner of the file that names it.
#include "runtime/running.h"

#include <errno.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/safe_file.h"
#include "runtime/command.h"
#include "runtime/starting.h"

enum { PROGRAM_BYTES = 32, SUMMARY_MS = 1000 };

static void complain(const char *what, const char *detail) {
  fprintf(stderr, "perilune: %s%s\n", what, detail);
}

/* What another process has said. */
static void complain_of(const char *text) {
  fputs("perilune: ", stderr);
  running_print(stderr, text, strlen(text));
  fputc('\n', stderr);
}

/* --- connecting ------------------------------------------------------------------------------------------- */

struct ucred running_peer(int fd) {
  struct ucred who = {0, (uid_t)-1, (gid_t)-1};
  socklen_t length = sizeof who;
  getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &length);
  return who;
}

bool running_is_trusted(int fd, uid_t owner) {
  uid_t uid = running_peer(fd).uid;
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

pid_t running_pid_at(const char *name) {
  int fd = connect_to(name);
  pid_t pid = fd >= 0 && running_is_trusted(fd, geteuid()) ? running_peer(fd).pid : 0;
  if (fd >= 0) close(fd);
  return pid;
}

int running_connect(const struct running *running) {
  int fd = connect_to(running->name);
  if (fd < 0 && *running->absent) {
    complain_of(running->absent);
  } else if (fd < 0) {
    fprintf(stderr, "perilune: %s: %s\n", running->name, strerror(errno));
  } else if (!running_is_trusted(fd, running->owner)) {
    fprintf(stderr,
            "perilune: %s belongs to user %u, who is neither root nor you nor the owner of the file\n",
            running->name, (unsigned)running_peer(fd).uid);
    close(fd);
    fd = -1;
  }
  return fd;
}

/* --- the only one ----------------------------------------------------------------------------------------- */

/* The abstract sockets of running proxies, from /proc/net/unix. */
unsigned running_find_all(struct running found[RUNNING_MOST]) {
  char line[512];
  unsigned count = 0;
  FILE *file = fopen("/proc/net/unix", "re");
  while (file && count < RUNNING_MOST && fgets(line, sizeof line, file)) {
    char *name = strstr(line, "@" COMMAND_SOCKET_PREFIX);
    if (!name || strstr(line, " 00010000 ") == NULL) continue; /* listening ones */
    name[strcspn(name, "\n")] = '\0';
    size_t digits = strspn(name + sizeof "@" COMMAND_SOCKET_PREFIX - 1, "0123456789");
    if (!digits || name[sizeof "@" COMMAND_SOCKET_PREFIX - 1 + digits]) continue; /* somebody else's */
    snprintf(found[count].name, sizeof found[count].name, "%s", name);
    found[count++].owner = geteuid();
  }
  if (file) fclose(file);
  return count;
}

static unsigned keep_trusted(struct running found[RUNNING_MOST], unsigned count) {
  unsigned kept = 0;
  for (unsigned i = 0; i < count; i++) {
    int fd = connect_to(found[i].name);
    if (fd >= 0 && running_is_trusted(fd, geteuid())) found[kept++] = found[i];
    if (fd >= 0) close(fd);
  }
  return kept;
}

/* `all`: so many of others are there. */
static void tell_none(unsigned all) {
  char starting[STARTING_BYTES];
  if (starting_find(0, starting, sizeof starting))
    complain_of(starting);
  else
    complain(all ? "no proxy of yours or of root is running; name another's by --pid-file or --socket"
                 : "no proxy is running that could be found; start one with 'perilune run SCRIPT', or name "
                   "one that was started with --socket PATH by the same option",
             "");
}

static bool find_only(struct running *running) {
  struct running found[RUNNING_MOST];
  unsigned all = running_find_all(found), count = keep_trusted(found, all);
  if (count == 1) {
    *running = found[0];
    running->is_only_one = true;
    return true;
  }
  if (count == 0) {
    tell_none(all);
    return false;
  }
  fprintf(stderr, "perilune: %u proxies are running; say which:\n", count);
  for (unsigned i = 0; i < count; i++) {
    fprintf(stderr, "  --pid %s  ", found[i].name + sizeof "@" COMMAND_SOCKET_PREFIX - 1);
    running_print_summary(stderr, &found[i]);
  }
  return false;
}

/* --- those that are named --------------------------------------------------------------------------------- */

static void name_by_pid(struct running *running, int pid) {
  snprintf(running->name, sizeof running->name, "@" COMMAND_SOCKET_PREFIX "%d", pid);
}

/* Its owner is whom we expect to answer. */
static bool read_pid(const char *path, int *pid, uid_t *owner) {
  struct stat info;
  struct buf text = {0};
  int fd = safe_open_to_read(path);
  if (fd < 0 || fstat(fd, &info) != 0 || !safe_read_all(fd, SAFE_READ_MOST, &text)) {
    fprintf(stderr, "perilune: cannot open the pid file %s: %s%s\n", path, safe_reason(errno),
            errno == ENOENT ? "; a proxy writes it once it serves, and removes it when it ends" : "");
    return false;
  }
  char *first = str_to_cstring(buf_str(&text));
  bool has_number = sscanf(first, "%d", pid) == 1 && *pid > 0;
  free(first);
  buf_release(&text);
  *owner = info.st_uid;
  if (!has_number) complain("no process id in ", path);
  return has_number;
}

static bool find_by_pid_file(const char *path, struct running *running) {
  int pid = 0;
  if (!read_pid(path, &pid, &running->owner)) return false;
  name_by_pid(running, pid);
  snprintf(
      running->absent, sizeof running->absent,
      "no proxy answers for the process id in %s; one that was started with --socket PATH is found by that",
      path);
  return true;
}

/* "nginx", from its file's name as the kernel keeps it; "": it has gone. */
static void read_program(int pid, char name[PROGRAM_BYTES]) {
  char path[32];
  snprintf(path, sizeof path, "/proc/%d/comm", pid);
  FILE *file = fopen(path, "re");
  name[0] = '\0';
  if (file && fgets(name, PROGRAM_BYTES, file)) name[strcspn(name, "\n")] = '\0';
  if (file) fclose(file);
}

/* What to say if nobody answers under that number. */
static void note_absence(int pid, char *text, size_t bytes) {
  char program[PROGRAM_BYTES];
  if (starting_find(pid, text, bytes)) return;
  read_program(pid, program);
  if (kill(pid, 0) != 0 && errno == ESRCH)
    snprintf(text, bytes, "there is no process %d; 'perilune ps' lists the proxies that run", pid);
  else if (*program && strcmp(program, "perilune") != 0)
    snprintf(text, bytes, "process %d is no proxy, it is '%s'; 'perilune status' finds one, or lists several",
             pid, program);
  else
    snprintf(
        text, bytes,
        "process %d hears no commands under its number: it is not serving, or in another network namespace; "
        "--socket PATH finds it if it was started with that",
        pid);
}

static void find_by_pid(int pid, struct running *running) {
  name_by_pid(running, pid);
  note_absence(pid, running->absent, sizeof running->absent);
}

/* A socket that lies in a folder of others may be anybody's; its owner is who the caller has named. */
static bool find_by_socket(const char *path, struct running *running) {
  struct stat info;
  if (strlen(path) >= sizeof running->name) {
    complain("the path of the socket is too long: ", path);
    return false;
  }
  strcpy(running->name, path);
  if (lstat(path, &info) == 0 && S_ISSOCK(info.st_mode)) running->owner = info.st_uid;
  return true;
}

bool running_find(const struct client_target *target, struct running *running) {
  *running = (struct running){.owner = geteuid()};
  if (target->pid_file) return find_by_pid_file(target->pid_file, running);
  if (target->socket) return find_by_socket(target->socket, running);
  if (!target->pid) return find_only(running);
  find_by_pid(target->pid, running);
  return true;
}

/* --- what it says of itself ------------------------------------------------------------------------------- */

bool running_wait(int fd, int timeout_ms) {
  struct pollfd watched = {.fd = fd, .events = POLLIN};
  int ready;
  do ready = poll(&watched, 1, timeout_ms);
  while (ready < 0 && errno == EINTR);
  return ready > 0;
}

int running_reach(const struct running *running) { return connect_to(running->name); }

size_t running_ask(int fd, const char *line, char *text, size_t bytes) {
  size_t length = 0;
  ssize_t got = write(fd, line, strlen(line));
  while (got > 0 && length < bytes - 1 && running_wait(fd, SUMMARY_MS)) {
    got = read(fd, text + length, bytes - 1 - length);
    if (got > 0) length += (size_t)got;
  }
  text[length] = '\0';
  if (strncmp(text, "0\n", 2) != 0) return 0; /* an older one that does not know it, or one that is stuck */
  memmove(text, text + 2, length - 1);
  return length - 2;
}

static void put_user(FILE *out, uid_t uid) {
  const struct passwd *who = getpwuid(uid);
  if (who)
    fprintf(out, "user %s", who->pw_name);
  else
    fprintf(out, "user %u", (unsigned)uid);
}

void running_print_summary(FILE *out, const struct running *running) {
  char text[1024];
  int fd = connect_to(running->name);
  size_t length = fd >= 0 ? running_ask(fd, "summary\n", text, sizeof text) : 0;
  if (length)
    running_print(out, text, strcspn(text, "\n"));
  else
    fputs("does not say what it serves", out);
  fputs("; ", out);
  put_user(out, fd >= 0 ? running_peer(fd).uid : running->owner);
  fputc('\n', out);
  if (fd >= 0) close(fd);
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

void running_print(FILE *out, const char *text, size_t length) {
  for (size_t at = 0, bytes; at < length; at += bytes ? bytes : 1) {
    bytes = shown((const unsigned char *)text + at, length - at);
    if (bytes)
      fwrite(text + at, 1, bytes, out);
    else
      fprintf(out, "\\x%02x", (unsigned char)text[at]);
  }
}
