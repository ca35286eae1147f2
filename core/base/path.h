// SPDX-License-Identifier: Apache-2.0
// path: names of files that a command line gives, for a process that may read them later.
#ifndef PERILUNE_BASE_PATH_H
#define PERILUNE_BASE_PATH_H

/* Absolute, with its links as they are: what they lead to may change. Malloc'd. */
char *path_absolute(const char *name);

#endif
