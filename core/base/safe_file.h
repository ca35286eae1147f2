// SPDX-License-Identifier: Apache-2.0
// safe_file: a path is used once, to open the file; after that only the descriptor is used. The process may be root,
// and a path may lead through folders in which other users can create links: their links are not followed, and a file
// with a second name (a hard link) is not written to.
#ifndef PERILUNE_BASE_SAFE_FILE_H
#define PERILUNE_BASE_SAFE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/str.h"

struct buf;
struct stat;

/* As open(2), close-on-exec. -1, with errno: ELOOP for a link that is not followed as root, EMLINK for a
 * second name. */
int safe_open(const char *path, int flags, mode_t mode);
/* The same for a file that only this process uses, as any user: a regular one under one name. No link is followed: it
 * could lead to any file, which would be overwritten. ENOTSUP: it is another kind of file. */
int safe_open_own(const char *path, int flags, mode_t mode);
/* Reads a whole file whose name came from outside. Regular files alone: a FIFO may be silent, a device has no end.
 * Links are followed. False, with errno: EISDIR for a folder, ENOTSUP for another kind of file, EFBIG for one of more
 * than `most_bytes`. `text` is the caller's, and to be empty. */
bool safe_read(const char *path, size_t most_bytes, struct buf *text);
/* Its two halves, for a caller that looks at the open file in between. The first gives -1, with errno, for what is no
 * regular file; the second closes it. */
int safe_open_to_read(const char *path);
bool safe_read_all(int fd, size_t most_bytes, struct buf *text);
/* What is read as a rule: of lists, certificates, settings of the system. */
#define SAFE_READ_MOST ((size_t)4 << 20)

/* Puts these bytes in the place of a file: on the disk, all of them or none, readable by this user alone. A link at the
 * path is replaced, not followed. False, with errno. */
bool safe_replace(const char *path, struct str bytes);

/* What errno says after them, for people: after safe_open and those that read, after safe_open_own, and after a file or
 * socket that was to be made. */
const char *safe_reason(int code);
const char *safe_reason_own(int code);
const char *safe_reason_new(int code);

/* Which file a path named at some time. */
struct file_identity {
  dev_t device;
  ino_t inode; /* 0: none */
};

/* Of what lies there now, links not followed. */
struct file_identity file_identity_of(const char *path);
struct file_identity file_identity_of_fd(int fd);
/* Does the path still name it? */
bool file_is_at(const char *path, struct file_identity file);
/* Of two looks at one path: is it the same file, and was it not written in between? */
bool file_is_unchanged(const struct stat *before, const struct stat *now);
/* A number that is another one for another state of the file, or of those before it, whose number `hash` is (0: none).
 * An empty name is that of no file. */
uint64_t file_fingerprint(uint64_t hash, const char *path);
/* Removes the path, if it still names that file. */
void file_remove(const char *path, struct file_identity file);
/* Gives a file, which may be a socket's, to that user and group, if the path still names it. False, with errno. */
bool file_give(const char *path, struct file_identity file, uid_t user, gid_t group);

#endif
