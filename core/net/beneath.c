// SPDX-License-Identifier: Apache-2.0
// beneath: see beneath.h. The folder is opened anew each time: "current" may lead to another release by now.
#include "net/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <linux/openat2.h>

#include "base/log.h"

static atomic_bool is_missing;

static int open_how(int folder, const char *path, int flags, unsigned long long resolve) {
  struct open_how how = {.flags = (unsigned long long)(flags | O_CLOEXEC), .resolve = resolve};
  return (int)syscall(SYS_openat2, folder, path, &how, sizeof how);
}

/* Neither ENOSYS nor what a filter of system calls says is about the path. */
static bool has_openat2(void) {
  if (atomic_load_explicit(&is_missing, memory_order_relaxed)) return false;
  int fd = open_how(AT_FDCWD, "/", O_PATH | O_DIRECTORY, 0);
  if (fd >= 0) close(fd);
  if (fd >= 0 || (errno != ENOSYS && errno != EPERM)) return true;
  if (!atomic_exchange(&is_missing, true))
    log_warn("files: openat2(2) is not to be had here (%s): symbolic links below a root are not followed",
             strerror(errno));
  return false;
}

/* Each folder on the way by itself, and never a link. */
static int walk(int root, const char *path, int flags) {
  char name[NAME_MAX + 1];
  int folder = root;
  for (const char *end; (end = strchr(path, '/')); path = end + 1) {
    size_t length = (size_t)(end - path);
    if (length >= sizeof name) errno = ENAMETOOLONG;
    int next = -1;
    if (length < sizeof name) {
      memcpy(name, path, length);
      name[length] = '\0';
      next = openat(folder, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    }
    if (folder != root) close(folder);
    if (next < 0) return -1;
    folder = next;
  }
  int fd = openat(folder, *path ? path : ".", flags | O_NOFOLLOW | O_CLOEXEC);
  int error = errno;
  if (folder != root) close(folder);
  errno = error;
  return fd;
}

int beneath_open(const char *root, const char *path, int flags, bool only_cached) {
  bool has_call = has_openat2();
  if (only_cached && !has_call) {
    errno = EAGAIN;
    return -1;
  }
  unsigned long long cached = only_cached ? RESOLVE_CACHED : 0;
  int folder = has_call ? open_how(AT_FDCWD, root, O_PATH | O_DIRECTORY, cached)
                        : open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) {
    if (errno == EINVAL && only_cached) errno = EAGAIN; /* a kernel that does not know RESOLVE_CACHED */
    return -1;
  }
  int fd = has_call
               ? open_how(folder, *path ? path : ".", flags, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | cached)
               : walk(folder, path, flags);
  int error = errno;
  close(folder);
  errno = error;
  return fd;
}
