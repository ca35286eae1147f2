// SPDX-License-Identifier: Apache-2.0
// pid_file: the file with the process id. It is opened with the rights of the user who started the proxy, and written
// when the proxy serves: so if the new process of an upgrade fails, the file keeps the old process's number. It is
// locked while one of a proxy and its successors lives: a second proxy with the same file does not start; a file that
// nobody has locked was left behind, and is used again.
#ifndef PERILUNE_RUNTIME_PID_FILE_H
#define PERILUNE_RUNTIME_PID_FILE_H

#include <stdbool.h>

struct pid_file {
  const char *path; /* borrowed; NULL: none is wanted */
  int fd;           /* -1: none; holds the lock */
};

/* Makes sure that it can be written and is nobody else's, and gives it to `user` (may be NULL), who is to remove it.
 * False: *why is a malloc'd message, and nothing is to be released. `path` NULL: true, and the rest does nothing. */
bool pid_file_open(struct pid_file *file, const char *path, const char *user, char **why);
/* A predecessor's, with its lock: used instead of opening it, if it is the file of the path. -1: there is none. */
void pid_file_inherit(int fd);
/* Puts our number in. What it held before is readable until then. */
void pid_file_write(const struct pid_file *file);
/* Closes and removes it, if the number in it is ours, or if there is none, and its path is still this file's. */
void pid_file_close(struct pid_file *file);

#endif
