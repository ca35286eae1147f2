// SPDX-License-Identifier: Apache-2.0
// beneath: opens a file that lies below a folder, wherever the path or a symbolic link in it leads: never outside
// (openat2(2), RESOLVE_BENEATH). Kernels and sandboxes without that call follow no link below the folder at all.
#ifndef PERILUNE_NET_BENEATH_H
#define PERILUNE_NET_BENEATH_H

#include <stdbool.h>

/* Opens `path`, relative and without "..", for reading; links in `root` itself are followed, so it may be one that
 * is exchanged. `only_cached`: where a disk would have to be asked, -1 with EAGAIN. -1 with errno; EXDEV: it leads
 * outside. The file is not to be waited for: a FIFO is opened, too. */
int beneath_open(const char *root, const char *path, int flags, bool only_cached);

#endif
