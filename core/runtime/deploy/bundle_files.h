// SPDX-License-Identifier: Apache-2.0
// bundle_files: the folders of versions. They are this process's own: no other user can put anything there.
#ifndef PERILUNE_RUNTIME_BUNDLE_FILES_H
#define PERILUNE_RUNTIME_BUNDLE_FILES_H

#include "base/str.h"

/* Writes a file below a folder, with the folders on its way. The path is checked already: relative, without "..".
 * False: *why is a malloc'd message. */
bool bundle_files_put(const char *folder, const char *path, struct str bytes, char **why);
/* A folder takes the place of another, which is removed. False: *why is a malloc'd message. */
bool bundle_files_move(const char *from, const char *to, char **why);
/* Removes a folder with all that is in it, or what there is of it. */
void bundle_files_remove(const char *folder);
/* Removes the folders of versions below `folder` but the newest `count`, and but `kept`; and what was signed of
 * them. */
void bundle_files_tidy(const char *folder, unsigned count, uint64_t kept);

#endif
