// SPDX-License-Identifier: Apache-2.0
// pid_file: see the head.
#include "runtime/pid_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/memory.h"
#include "runtime/privileges.h"

bool pid_file_open(struct pid_file *file, const char *path, const char *user, char **why) {
  *file = (struct pid_file){path, -1};
  if (!path) return true;
  file->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (file->fd >= 0) {
    privileges_give(path, user);
    return true;
  }
  const char *reason = strerror(errno);
  size_t bytes = strlen(path) + strlen(reason) + 32;
  *why = memory_alloc(bytes);
  snprintf(*why, bytes, "cannot write the pid file %s: %s", path, reason);
  return false;
}

/* In this order whoever reads meanwhile finds a number. */
void pid_file_write(const struct pid_file *file) {
  char text[16];
  if (file->fd < 0) return;
  int length = snprintf(text, sizeof text, "%d\n", (int)getpid());
  if (pwrite(file->fd, text, (size_t)length, 0) != length || ftruncate(file->fd, length) != 0)
    log_error("cannot write the pid file %s: %s", file->path, strerror(errno));
}

/* In a folder that is not of the user we have become it can only be emptied. */
static void take_away(const char *path) {
  if (unlink(path) != 0 && truncate(path, 0) != 0)
    log_warn("the pid file %s stays: %s", path, strerror(errno));
}

/* A successor may have written its own number, or have put another file in its place. */
void pid_file_close(struct pid_file *file) {
  char text[16] = "";
  if (file->fd < 0) return;
  close(file->fd);
  int fd = open(file->path, O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (length == 0 || (length > 0 && atoi(text) == (int)getpid())) take_away(file->path);
  if (fd >= 0) close(fd);
  file->fd = -1;
}
