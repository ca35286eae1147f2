// SPDX-License-Identifier: Apache-2.0
// private_file: see private_file.h.
#include "base/private_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/safe_file.h"

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
