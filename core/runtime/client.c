// SPDX-License-Identifier: Apache-2.0
// client: plain blocking code; this process does nothing else.
#include "runtime/client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "runtime/command.h"
#include "runtime/server.h"

enum { NAME_BYTES = 100, MOST_FOUND = 16 };

static int complain(const char *what, const char *detail) {
  fprintf(stderr, "perilune: %s%s\n", what, detail);
  return EXIT_FAILED;
}

/* An address of "@name" (abstract) or a path. */
static int connect_to(const char *name) {
  struct sockaddr_un addr = {.sun_family = AF_UNIX};
  size_t length = strlen(name);
  if (length >= sizeof addr.sun_path) return -1;
  memcpy(addr.sun_path, name, length);
  if (name[0] == '@') addr.sun_path[0] = '\0';
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  socklen_t bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (name[0] != '@'));
  if (connect(fd, (struct sockaddr *)&addr, bytes) == 0) return fd;
  close(fd);
  return -1;
}

/* The abstract sockets of running proxies, from /proc/net/unix. */
static unsigned find_running(char found[MOST_FOUND][NAME_BYTES]) {
  char line[512];
  unsigned count = 0;
  FILE *file = fopen("/proc/net/unix", "r");
  while (file && count < MOST_FOUND && fgets(line, sizeof line, file)) {
    char *name = strstr(line, "@" COMMAND_SOCKET_PREFIX);
    if (!name || strstr(line, " 00010000 ") == NULL) continue; /* listening ones */
    name[strcspn(name, "\n")] = '\0';
    snprintf(found[count++], NAME_BYTES, "%s", name);
  }
  if (file) fclose(file);
  return count;
}

static int find_only(void) {
  char found[MOST_FOUND][NAME_BYTES];
  unsigned count = find_running(found);
  if (count == 1) return connect_to(found[0]);
  if (count == 0) {
    complain("no proxy is running; start one with 'perilune run SCRIPT'", "");
    return -1;
  }
  complain("several proxies are running; say which with --pid-file or --socket:", "");
  for (unsigned i = 0; i < count; i++)
    fprintf(stderr, "  process %s\n", found[i] + sizeof "@" COMMAND_SOCKET_PREFIX - 1);
  return -1;
}

static int find_by_pid_file(const char *path) {
  char name[NAME_BYTES];
  int pid = 0;
  FILE *file = fopen(path, "r");
  if (!file || fscanf(file, "%d", &pid) != 1 || pid <= 0) {
    complain("no process id in ", path);
    if (file) fclose(file);
    return -1;
  }
  fclose(file);
  snprintf(name, sizeof name, "@" COMMAND_SOCKET_PREFIX "%d", pid);
  int fd = connect_to(name);
  if (fd < 0) complain("no proxy answers for the process id in ", path);
  return fd;
}

static int find(const struct client_target *target) {
  if (target->pid_file) return find_by_pid_file(target->pid_file);
  if (!target->socket) return find_only();
  int fd = connect_to(target->socket);
  if (fd < 0) fprintf(stderr, "perilune: %s: %s\n", target->socket, strerror(errno));
  return fd;
}

/* The first line is the exit code, the rest is for people. */
static int print_answer(FILE *answer) {
  char line[4096];
  int code = EXIT_FAILED;
  if (!fgets(line, sizeof line, answer)) return complain("the proxy ended without an answer", "");
  code = atoi(line);
  if (code != EXIT_FINE) fputs("perilune: ", stderr);
  while (fgets(line, sizeof line, answer)) fputs(line, code == EXIT_FINE ? stdout : stderr);
  return code;
}

int client_command(const struct client_target *target, const char *line) {
  int fd = find(target);
  if (fd < 0) return EXIT_FAILED;
  FILE *stream = fdopen(fd, "r+");
  fprintf(stream, "%s\n", line);
  fflush(stream);
  int code = print_answer(stream);
  fclose(stream);
  return code;
}
