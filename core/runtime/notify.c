// SPDX-License-Identifier: Apache-2.0
// notify: the few lines of sd_notify(3) that are needed, without its library.
#include "runtime/notify.h"

#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static struct sockaddr_un manager; /* set once, before there are threads */
static socklen_t manager_length;
static int ready_fd = -1;
static uint64_t watchdog_ms;

void notify_init(void) {
  const char *socket_name = getenv("NOTIFY_SOCKET"), *fd = getenv("PERILUNE_READY_FD");
  const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
  size_t length = socket_name ? strlen(socket_name) : 0;
  if (length > 1 && length < sizeof manager.sun_path) {
    manager.sun_family = AF_UNIX;
    memcpy(manager.sun_path, socket_name, length);
    if (socket_name[0] == '@') manager.sun_path[0] = '\0';
    manager_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
  }
  if (usec && (!pid || atoi(pid) == (int)getpid())) watchdog_ms = strtoull(usec, NULL, 10) / 1000;
  if (fd) ready_fd = atoi(fd);
  if (ready_fd >= 0) fcntl(ready_fd, F_SETFD, FD_CLOEXEC);
  unsetenv("PERILUNE_READY_FD");
}

/* A manager that does not read must not stop us: a sign of life is left out, for another follows; the rest
 * has a second. */
void notify_state(const char *state) {
  const struct timeval patience = {.tv_sec = 1};
  if (!manager_length) return;
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  int flags = MSG_NOSIGNAL | (strcmp(state, "WATCHDOG=1") == 0 ? MSG_DONTWAIT : 0);
  if (fd < 0) return;
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  sendto(fd, state, strlen(state), flags, (struct sockaddr *)&manager, manager_length);
  close(fd);
}

void notify_ready(void) {
  char text[64];
  snprintf(text, sizeof text, "READY=1\nMAINPID=%d", (int)getpid());
  notify_state(text);
  if (ready_fd < 0) return;
  if (write(ready_fd, "1", 1) != 1) return; /* the process that waited is gone */
  close(ready_fd);
  ready_fd = -1;
}

/* The time is what systemd tells this reload from an earlier one by. */
void notify_reloading(void) {
  char text[64];
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%lld",
           (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000);
  notify_state(text);
}

void notify_reloaded(const char *outcome) {
  char text[256];
  snprintf(text, sizeof text, "READY=1\nSTATUS=%.*s", (int)strcspn(outcome, "\n"), outcome);
  notify_state(text);
}

/* Also before notify_init, where a policy that is wrong has ended the start. */
void notify_failed(const char *why) {
  const char *number = getenv("PERILUNE_READY_FD");
  int fd = ready_fd >= 0 || !number ? ready_fd : atoi(number);
  if (fd < 0) return;
  dprintf(fd, "!%s", why);
  close(fd);
  ready_fd = -1;
}

uint64_t notify_watchdog_ms(void) { return watchdog_ms; }
