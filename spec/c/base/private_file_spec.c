// SPDX-License-Identifier: Apache-2.0
// Units for base/private_file.
#include "base/private_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

IT("makes a folder with those above it for its owner alone, and takes one that is there") {
  char root[UNIT_PATH_BYTES], path[UNIT_PATH_BYTES + 8];
  struct stat info;
  unit_temporary(root, "private");
  snprintf(path, sizeof path, "%s/a/b", root);
  CHECK(mkdir(root, 0755) == 0);
  CHECK(private_folder_make(path) && private_folder_make(path));
  CHECK(stat(path, &info) == 0 && S_ISDIR(info.st_mode) && (info.st_mode & 0777) == 0700);
  rmdir(path);
  path[strlen(path) - 2] = '\0';
  CHECK(stat(path, &info) == 0 && (info.st_mode & 0777) == 0700);
  rmdir(path);
  rmdir(root);
}

IT("makes none in the place of a file") {
  char path[UNIT_PATH_BYTES], below[UNIT_PATH_BYTES + 8];
  unit_temporary(path, "private");
  close(open(path, O_CREAT | O_WRONLY, 0600));
  snprintf(below, sizeof below, "%s/a", path);
  CHECK(!private_folder_make(below) && errno == ENOTDIR);
  unlink(path);
}

IT("locks a file for one at a time, and not for those who come from elsewhere meanwhile") {
  char path[UNIT_PATH_BYTES];
  unit_temporary(path, "lock");
  int fd = private_lock(path);
  CHECK(fd >= 0);
  CHECK(private_lock(path) == -1 && errno == EWOULDBLOCK);
  private_unlock(fd);
  fd = private_lock(path);
  CHECK(fd >= 0);
  private_unlock(fd);
  unlink(path);
}

IT("lets go of a lock with the process that has it") {
  char path[UNIT_PATH_BYTES];
  int status = 0;
  unit_temporary(path, "lock");
  pid_t holder = fork();
  if (holder == 0) _exit(private_lock(path) >= 0 ? 7 : 8);
  CHECK(waitpid(holder, &status, 0) == holder && WEXITSTATUS(status) == 7);
  int fd = private_lock(path);
  CHECK(fd >= 0);
  private_unlock(fd);
  unlink(path);
}
