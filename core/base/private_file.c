// SPDX-License-Identifier: Apache-2.0
// private_file: the hard problem is a machine that stops in the middle: the text is on the disk before its name is, and
// the name's folder is written, too. What a stopped writer left behind is overwritten by the next one of its number.
#include "base/private_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/safe_file.h"

static bool write_all(int fd, struct str text) {
  while (text.len) {
    ssize_t written = write(fd, text.ptr, text.len);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    text = str_from(text, (size_t)written);
  }
  return fsync(fd) == 0;
}

static void sync_folder(const char *path) {
  char copy[PATH_MAX];
  if (snprintf(copy, sizeof copy, "%s", path) >= (int)sizeof copy) return;
  int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  fsync(fd); /* where a file system cannot, the name is written a little later */
  close(fd);
}

static bool give_up(const char *path, int fd) {
  int code = errno;
  if (fd >= 0) close(fd);
  unlink(path);
  errno = code;
  return false;
}

bool private_file_write(const char *path, struct str text) {
  char beside[PATH_MAX];
  int length = snprintf(beside, sizeof beside, "%s.%d.new", path, (int)getpid());
  if (length >= (int)sizeof beside) {
    errno = ENAMETOOLONG;
    return false;
  }
  unlink(beside); /* of a process that had our number */
  int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  if (!write_all(fd, text)) return give_up(beside, fd);
  if (close(fd) != 0 || rename(beside, path) != 0) return give_up(beside, -1);
  sync_folder(path);
  return true;
}

bool private_folder_make(const char *path) {
  char part[PATH_MAX];
  if (snprintf(part, sizeof part, "%s/", path) >= (int)sizeof part) {
    errno = ENAMETOOLONG;
    return false;
  }
  char *first = strchr(part + 1, '/'); /* a folder of the root is never made: its name is a mistake */
  for (char *slash = first ? strchr(first + 1, '/') : NULL; slash; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    if (mkdir(part, 0700) != 0 && errno != EEXIST) return false;
    *slash = '/';
  }
  struct stat info;
  if (stat(path, &info) != 0) return false;
  if (S_ISDIR(info.st_mode)) return true;
  errno = ENOTDIR;
  return false;
}

int private_lock(const char *path) {
  int fd = safe_open_own(path, O_RDWR | O_CREAT, 0600);
  if (fd < 0) return -1;
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
  int code = errno;
  close(fd);
  errno = code;
  return -1;
}

void private_unlock(int fd) { close(fd); }
