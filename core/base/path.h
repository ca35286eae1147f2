// SPDX-License-Identifier: Apache-2.0
// path: names of files.
#ifndef PERILUNE_BASE_PATH_H
#define PERILUNE_BASE_PATH_H

#include <stdbool.h>

/* Makes a path absolute, so that it can be used later. Links in it stay as they are: what they lead to may change.
 * Malloc'd. */
char *path_absolute(const char *name);
/* "NAME.lua", with whatever folders before it. */
bool path_is_script(const char *name);

#endif
