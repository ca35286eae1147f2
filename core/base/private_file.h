// SPDX-License-Identifier: Apache-2.0
// private_file: folders for files with secrets, such as keys, which nobody but the owner reads (safe_replace of
// safe_file.h writes them so); and locks by which processes take turns, which end with their holder.
#ifndef PERILUNE_BASE_PRIVATE_FILE_H
#define PERILUNE_BASE_PRIVATE_FILE_H

#include <stdbool.h>

/* Makes a folder with those above it that are missing, mode 0700, but none in the root. False, with errno. */
bool private_folder_make(const char *path);

/* Locks a file, made where there is none: its descriptor. -1, with errno: EWOULDBLOCK where somebody has it. It does
 * not wait. The kernel lets go of it when the process ends, however it ends. */
int private_lock(const char *path);
void private_unlock(int fd);

#endif
