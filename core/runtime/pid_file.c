// SPDX-License-Identifier: Apache-2.0
// pid_file: see the header. The lock is flock's: it belongs to the open file, which the new process of an upgrade
// inherits.
#include "runtime/pid_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/log.h"
#include "base/safe_file.h"
#include "base/why.h"
#include "runtime/privileges.h"

static int inherited = -1;

void pid_file_inherit(int fd) { inherited = fd; }

/* The number in it; 0: none. */
static int number_in(int fd) {
  char text[16] = "";
  ssize_t length = pread(fd, text, sizeof text - 1, 0);
  return length > 0 ? atoi(text) : 0;
}

/* The predecessor's open file, if it is the one that is wanted. */
static int take_inherited(const char *path) {
  int fd = inherited;
  inherited = -1;
  if (fd >= 0 && path && file_is_at(path, file_identity_of_fd(fd))) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

static bool lock(struct pid_file *file, char **why) {
  if (flock(file->fd, LOCK_EX | LOCK_NB) == 0) return true;
  if (errno == EWOULDBLOCK)
    why_say(why, "the pid file %s: process %d has it locked: another proxy uses it", file->path,
            number_in(file->fd));
  else
    why_say(why, "the pid file %s: %s", file->path, strerror(errno));
  close(file->fd);
  file->fd = -1;
  return false;
}

/* A path that was mistyped may lead to any file: only what begins with a number is written over. */
static bool is_something_else(int fd) {
  char first = 0;
  return pread(fd, &first, 1, 0) == 1 && (first < '0' || first > '9');
}

bool pid_file_open(struct pid_file *file, const char *path, const char *user, char **why) {
  *file = (struct pid_file){path, take_inherited(path)};
  if (!path || file->fd >= 0) return true;
  file->fd = safe_open_own(path, O_RDWR | O_CREAT, 0644);
  if (file->fd < 0) return why_say(why, "cannot write the pid file %s: %s", path, safe_reason_own(errno));
  if (!lock(file, why)) return false;
  if (is_something_else(file->fd)) {
    close(file->fd);
    file->fd = -1;
    return why_say(why, "the pid file %s: there is something else than a number in it; it is left as it is",
                   path);
  }
  privileges_give(file->fd, path, user);
  return true;
}

/* In this order a concurrent reader always finds a number. */
void pid_file_write(const struct pid_file *file) {
  char text[16];
  if (file->fd < 0) return;
  int length = snprintf(text, sizeof text, "%d\n", (int)getpid());
  if (pwrite(file->fd, text, (size_t)length, 0) != length || ftruncate(file->fd, length) != 0)
    log_error("cannot write the pid file %s: %s", file->path, strerror(errno));
}

/* In a folder that is not of the user we have become it can only be emptied. */
static void take_away(const struct pid_file *file) {
  if (!file_is_at(file->path, file_identity_of_fd(file->fd))) return;
  if (unlink(file->path) != 0 && ftruncate(file->fd, 0) != 0)
    log_warn("the pid file %s stays: %s", file->path, strerror(errno));
}

/* A successor may have written its own number, or somebody have put another file in its place. */
void pid_file_close(struct pid_file *file) {
  if (file->fd < 0) return;
  int number = number_in(file->fd);
  if (number == 0 || number == (int)getpid()) take_away(file);
  close(file->fd);
  file->fd = -1;
}
