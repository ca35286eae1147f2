// SPDX-License-Identifier: Apache-2.0
// safe_file: opens a file without following links or without waiting; then examines what was opened.
#include "base/safe_file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

/* A link that only root can have put there, as /dev/stdout is. */
static bool is_roots_link(const char *path) {
  char copy[PATH_MAX];
  struct stat link, folder;
  if (snprintf(copy, sizeof copy, "%s", path) >= (int)sizeof copy) return false;
  if (lstat(path, &link) != 0 || stat(dirname(copy), &folder) != 0) return false;
  return link.st_uid == 0 && folder.st_uid == 0 && !(folder.st_mode & (S_IWGRP | S_IWOTH));
}

static bool has_second_name(int fd) {
  struct stat info;
  return fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_nlink > 1;
}

int safe_open(const char *path, int flags, mode_t mode) {
  bool is_root = geteuid() == 0;
  int fd = open(path, flags | O_CLOEXEC | (is_root ? O_NOFOLLOW : 0), mode);
  if (fd < 0 && errno == ELOOP && is_root && is_roots_link(path)) fd = open(path, flags | O_CLOEXEC, mode);
  if (fd < 0 || !is_root || !has_second_name(fd)) return fd;
  close(fd);
  errno = EMLINK;
  return -1;
}

int safe_open_own(const char *path, int flags, mode_t mode) {
  struct stat info;
  int fd = open(path, flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, mode), code;
  if (fd < 0) return -1;
  if (fstat(fd, &info) != 0)
    code = errno;
  else if (!S_ISREG(info.st_mode))
    code = ENOTSUP;
  else if (info.st_nlink > 1)
    code = EMLINK;
  else
    return fd;
  close(fd);
  errno = code;
  return -1;
}

/* --- reading -------------------------------------------------------------------------------------------- */

static int close_with(int fd, int code) {
  close(fd);
  errno = code;
  return -1;
}

/* A FIFO without a writer opens at once so, and a terminal does not become ours. */
int safe_open_to_read(const char *path) {
  struct stat info;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) {
    if (errno == ENXIO) errno = ENOTSUP; /* a socket's */
    return -1;
  }
  if (fstat(fd, &info) != 0) return close_with(fd, errno);
  return S_ISREG(info.st_mode) ? fd : close_with(fd, S_ISDIR(info.st_mode) ? EISDIR : ENOTSUP);
}

/* It may be growing. */
static int read_to_end(int fd, size_t most_bytes, struct buf *text) {
  for (;;) {
    buf_reserve(text, 4096);
    ssize_t got = read(fd, buf_tail(text), buf_space(text));
    if (got == 0) return 0;
    if (got < 0 && errno != EINTR) return errno;
    if (got > 0) buf_commit(text, (size_t)got);
    if (buf_len(text) > most_bytes) return EFBIG;
  }
}

bool safe_read_all(int fd, size_t most_bytes, struct buf *text) {
  struct stat info;
  bool is_large = fstat(fd, &info) == 0 && info.st_size > (off_t)most_bytes;
  int code = is_large ? EFBIG : read_to_end(fd, most_bytes, text);
  close(fd);
  if (code) buf_release(text);
  errno = code;
  return code == 0;
}

bool safe_read(const char *path, size_t most_bytes, struct buf *text) {
  int fd = safe_open_to_read(path);
  return fd >= 0 && safe_read_all(fd, most_bytes, text);
}

/* --- writing -------------------------------------------------------------------------------------------- */

static bool write_whole(int fd, struct str bytes) {
  while (bytes.len) {
    ssize_t written = write(fd, bytes.ptr, bytes.len);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    bytes = str_from(bytes, (size_t)written);
  }
  return fsync(fd) == 0;
}

/* The name of a file is on the disk once its folder is; where a file system cannot do that, a little later. */
static void keep_name(const char *path) {
  char copy[PATH_MAX];
  snprintf(copy, sizeof copy, "%s", path);
  int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;
  fsync(fd);
  close(fd);
}

static bool give_up(const char *path, int fd) {
  int code = errno;
  if (fd >= 0) close(fd);
  unlink(path);
  errno = code;
  return false;
}

bool safe_replace(const char *path, struct str bytes) {
  char fresh[PATH_MAX];
  if (snprintf(fresh, sizeof fresh, "%s.%d.new", path, (int)getpid()) >= (int)sizeof fresh) {
    errno = ENAMETOOLONG;
    return false;
  }
  unlink(fresh); /* of a process that had our number and was killed */
  int fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0) return false;
  if (!write_whole(fd, bytes)) return give_up(fresh, fd);
  if (close(fd) != 0 || rename(fresh, path) != 0) return give_up(fresh, -1);
  keep_name(path);
  return true;
}

/* --- for people ----------------------------------------------------------------------------------------- */

const char *safe_reason(int code) {
  if (code == ENOTSUP) return "it is no regular file";
  if (code == EISDIR) return "it is a directory";
  if (code == EFBIG) return "it is larger than 4 MiB"; /* SAFE_READ_MOST */
  if (code == ELOOP)
    return "it is a symbolic link in a folder where others can put one, which is not followed as root";
  if (code == EMLINK) return "the file has a second name (a hard link), and is not written to as root";
  return strerror(code);
}

const char *safe_reason_own(int code) {
  if (code == ELOOP) return "it is a symbolic link, which is not followed";
  if (code == EMLINK) return "the file has a second name (a hard link), and is not written to";
  return safe_reason_new(code);
}

const char *safe_reason_new(int code) {
  if (code == ENOENT) return "its folder does not exist";
  if (code == ENOTDIR) return "its folder is a file";
  return safe_reason(code);
}

/* --- which file it is ----------------------------------------------------------------------------------- */

static struct file_identity identity(int result, const struct stat *info) {
  return result == 0 ? (struct file_identity){info->st_dev, info->st_ino} : (struct file_identity){0, 0};
}

struct file_identity file_identity_of(const char *path) {
  struct stat info;
  return identity(lstat(path, &info), &info);
}

struct file_identity file_identity_of_fd(int fd) {
  struct stat info;
  return identity(fstat(fd, &info), &info);
}

static bool is_same(struct file_identity a, struct file_identity b) {
  return a.inode && a.inode == b.inode && a.device == b.device;
}

bool file_is_at(const char *path, struct file_identity file) { return is_same(file_identity_of(path), file); }

bool file_is_unchanged(const struct stat *before, const struct stat *now) {
  return before->st_dev == now->st_dev && before->st_ino == now->st_ino && before->st_size == now->st_size &&
         before->st_mtim.tv_sec == now->st_mtim.tv_sec && before->st_mtim.tv_nsec == now->st_mtim.tv_nsec;
}

/* FNV-1a, by words. */
static uint64_t mix(uint64_t hash, uint64_t number) { return (hash ^ number) * 0x100000001b3u; }

uint64_t file_fingerprint(uint64_t hash, const char *path) {
  struct stat info;
  if (!hash) hash = 0xcbf29ce484222325u;
  if (!*path || stat(path, &info) != 0) return mix(hash, 0);
  hash = mix(mix(hash, (uint64_t)info.st_dev), (uint64_t)info.st_ino);
  hash = mix(mix(hash, (uint64_t)info.st_size), (uint64_t)info.st_mtim.tv_sec);
  return mix(hash, (uint64_t)info.st_mtim.tv_nsec);
}

void file_remove(const char *path, struct file_identity file) {
  if (file_is_at(path, file)) unlink(path);
}

bool file_give(const char *path, struct file_identity file, uid_t user, gid_t group) {
  int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return false;
  bool given = is_same(file_identity_of_fd(fd), file) && fchownat(fd, "", user, group, AT_EMPTY_PATH) == 0;
  int code = errno;
  close(fd);
  errno = code;
  return given;
}
