// SPDX-License-Identifier: Apache-2.0
// privileges: the rights and resources of the process: changing to another user and group, moving to the background,
// descriptors.
#ifndef PERILUNE_RUNTIME_PRIVILEGES_H
#define PERILUNE_RUNTIME_PRIVILEGES_H

#include <stdbool.h>

#include "base/safe_file.h"

/* Both NULL: nothing to do. Call it when the privileged ports are open and before there are threads; for
 * good. False: *why is a malloc'd message. */
bool privileges_drop(const char *user, const char *group, char **why);
/* Raises the soft limit of descriptors to the hard one: each connection through the proxy needs two. */
void privileges_use_descriptors(void);
/* Gives an open file to that user, so that it can be written and removed afterwards. Does nothing with fd
 * -1, or NULL. */
void privileges_give(int fd, const char *name, const char *user);
/* The same for a socket's file. */
void privileges_give_socket(const char *path, struct file_identity file, const char *user);
/* Forks. In the child: true, and its $PERILUNE_READY_FD is set (runtime/notify). In the parent: false, once
 * the child serves or has ended; *code is the exit code for the parent. */
bool privileges_daemonize(int *code);
/* The child serves: it lets go of the terminal. */
void privileges_detach(void);

#endif
