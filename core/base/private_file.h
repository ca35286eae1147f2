// SPDX-License-Identifier: Apache-2.0
// private_file: files with secrets, such as keys. Nobody but the owner reads them, a reader sees the old text or the
// new one and never a part, and processes take turns by locks that end with their holder.
#ifndef PERILUNE_BASE_PRIVATE_FILE_H
#define PERILUNE_BASE_PRIVATE_FILE_H

#include <stdbool.h>

#include "base/str.h"

/* Writes the text beside the path (mode 0600), makes it durable, and puts it in the path's place. A symbolic link
 * there is replaced, not followed. False, with errno. */
bool private_file_write(const char *path, struct str text);
/* Makes a folder with those above it that are missing, mode 0700, but none in the root. False, with errno. */
bool private_folder_make(const char *path);

/* Locks a file, made where there is none: its descriptor. -1, with errno: EWOULDBLOCK where somebody has it. It does
 * not wait. The kernel lets go of it when the process ends, however it ends. */
int private_lock(const char *path);
void private_unlock(int fd);

#endif
