// SPDX-License-Identifier: Apache-2.0
// shortage: calls of the system that fail when a spec says so, as on a machine that lacks descriptors, memory, ports or
// room on a disk. Each call has a record in the file $SHORTAGE, which the spec writes: how many of a thousand fail, and
// with what. The calls are real otherwise. spec/support/shortage.lua has their names in this order.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include <dirent.h>
#include <stdio.h>

enum call {
  SOCKET,
  CONNECT,
  ACCEPT,
  SEND,
  SENDMSG,
  RECV,
  READ,
  WRITE,
  WRITEV,
  OPEN,
  PIPE,
  DUP,
  EPOLL_CTL,
  EVENTFD,
  MEMFD,
  PREAD,
  PWRITE,
  TRUNCATE,
  RENAME,
  FSYNC,
  MMAP,
  SENDFILE,
  OPENDIR,
  INOTIFY,
  SETSOCKOPT,
  THREAD,
  FORK,
  FSTAT,
  MKDIR,
  UNLINK,
  MKSTEMP,
  BIND,
  SPLICE,
  CALLS
};

struct record {
  uint32_t permille, code, hits, unused;
};
static struct record *records;

__attribute__((constructor)) static void begin(void) {
  int fd = (int)(intptr_t)getenv("SHORTAGE") ? ((int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open"))(
                                                   getenv("SHORTAGE"), O_RDWR | O_CLOEXEC)
                                             : -1;
  if (fd < 0) return;
  void *at = ((void *(*)(void *, size_t, int, int, int, off_t))dlsym(RTLD_NEXT, "mmap"))(
      NULL, CALLS * sizeof *records, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  records = at == MAP_FAILED ? NULL : at;
  close(fd);
}

static int fails(enum call call) {
  static __thread uint32_t state;
  struct record *record = records ? &records[call] : NULL;
  if (!record || !__atomic_load_n(&record->permille, __ATOMIC_RELAXED)) return 0;
  if (!state) state = (uint32_t)(uintptr_t)&state ^ 0x9e3779b9u;
  state ^= state << 13, state ^= state >> 17, state ^= state << 5;
  if (state % 1000 >= record->permille) return 0;
  __atomic_add_fetch(&record->hits, 1, __ATOMIC_RELAXED);
  errno = (int)record->code;
  return 1;
}

#define REAL(type, name, ...) ((type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name))
/* A call `name` that gives `wrong` where it fails. */
#define CALL(call, type, wrong, name, parameters, arguments)                                                 \
  type name parameters {                                                                                     \
    static type(*real) parameters;                                                                           \
    if (!real) real = (type(*) parameters)dlsym(RTLD_NEXT, #name);                                           \
    return fails(call) ? wrong : real arguments;                                                             \
  }
/* With a third argument that is not always there. */
#define CALL_MODE(call, name, parameters, last, arguments)                                                   \
  int name parameters {                                                                                      \
    va_list list;                                                                                            \
    va_start(list, last);                                                                                    \
    long mode = va_arg(list, long);                                                                          \
    va_end(list);                                                                                            \
    return fails(call) ? -1 : ((int(*) parameters)dlsym(RTLD_NEXT, #name))arguments;                         \
  }

CALL(SOCKET, int, -1, socket, (int domain, int type, int protocol), (domain, type, protocol))
CALL(CONNECT, int, -1, connect, (int fd, const struct sockaddr *to, socklen_t length), (fd, to, length))
CALL(BIND, int, -1, bind, (int fd, const struct sockaddr *to, socklen_t length), (fd, to, length))
CALL(ACCEPT, int, -1, accept4, (int fd, struct sockaddr *from, socklen_t *length, int flags),
     (fd, from, length, flags))
CALL(SEND, ssize_t, -1, send, (int fd, const void *bytes, size_t count, int flags), (fd, bytes, count, flags))
CALL(SEND, ssize_t, -1, sendto,
     (int fd, const void *bytes, size_t count, int flags, const struct sockaddr *to, socklen_t length),
     (fd, bytes, count, flags, to, length))
CALL(SENDMSG, ssize_t, -1, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
CALL(RECV, ssize_t, -1, recv, (int fd, void *bytes, size_t count, int flags), (fd, bytes, count, flags))
CALL(WRITEV, ssize_t, -1, writev, (int fd, const struct iovec *parts, int count), (fd, parts, count))
CALL(PIPE, int, -1, pipe2, (int ends[2], int flags), (ends, flags))
static int watch(enum call call, int what) {
  return what == EPOLL_CTL_ADD && fails(call);
} /* others want no memory */
int epoll_ctl(int fd, int what, int of, struct epoll_event *event) {
  if (watch(EPOLL_CTL, what)) return -1;
  return ((int (*)(int, int, int, struct epoll_event *))dlsym(RTLD_NEXT, "epoll_ctl"))(fd, what, of, event);
}
CALL(EVENTFD, int, -1, eventfd, (unsigned first, int flags), (first, flags))
CALL(MEMFD, int, -1, memfd_create, (const char *name, unsigned flags), (name, flags))
CALL(PREAD, ssize_t, -1, pread, (int fd, void *bytes, size_t count, off_t at), (fd, bytes, count, at))
CALL(PREAD, ssize_t, -1, pread64, (int fd, void *bytes, size_t count, off64_t at), (fd, bytes, count, at))
CALL(PREAD, ssize_t, -1, preadv2, (int fd, const struct iovec *parts, int count, off_t at, int flags),
     (fd, parts, count, at, flags))
CALL(PREAD, ssize_t, -1, preadv64v2, (int fd, const struct iovec *parts, int count, off64_t at, int flags),
     (fd, parts, count, at, flags))
CALL(PWRITE, ssize_t, -1, pwrite, (int fd, const void *bytes, size_t count, off_t at), (fd, bytes, count, at))
CALL(PWRITE, ssize_t, -1, pwrite64, (int fd, const void *bytes, size_t count, off64_t at),
     (fd, bytes, count, at))
CALL(TRUNCATE, int, -1, ftruncate, (int fd, off_t length), (fd, length))
CALL(TRUNCATE, int, -1, ftruncate64, (int fd, off64_t length), (fd, length))
CALL(RENAME, int, -1, rename, (const char *from, const char *to), (from, to))
CALL(RENAME, int, -1, renameat, (int at, const char *from, int other, const char *to), (at, from, other, to))
CALL(FSYNC, int, -1, fsync, (int fd), (fd))
CALL(SENDFILE, ssize_t, -1, sendfile, (int to, int from, off_t *at, size_t count), (to, from, at, count))
CALL(SENDFILE, ssize_t, -1, sendfile64, (int to, int from, off64_t *at, size_t count), (to, from, at, count))
CALL(OPENDIR, DIR *, NULL, opendir, (const char *path), (path))
CALL(OPENDIR, DIR *, NULL, fdopendir, (int fd), (fd))
CALL(INOTIFY, int, -1, inotify_init1, (int flags), (flags))
CALL(INOTIFY, int, -1, inotify_add_watch, (int fd, const char *path, uint32_t mask), (fd, path, mask))
CALL(SETSOCKOPT, int, -1, setsockopt, (int fd, int level, int name, const void *value, socklen_t length),
     (fd, level, name, value, length))
CALL(FORK, pid_t, -1, fork, (void), ())
CALL(FSTAT, int, -1, fstat, (int fd, struct stat *info), (fd, info))
CALL(FSTAT, int, -1, fstat64, (int fd, struct stat64 *info), (fd, info))
CALL(MKDIR, int, -1, mkdir, (const char *path, mode_t mode), (path, mode))
CALL(MKDIR, int, -1, mkdirat, (int at, const char *path, mode_t mode), (at, path, mode))
CALL(UNLINK, int, -1, unlink, (const char *path), (path))
CALL(UNLINK, int, -1, unlinkat, (int at, const char *path, int flags), (at, path, flags))
CALL(MKSTEMP, int, -1, mkostemp, (char *path, int flags), (path, flags))
CALL(SPLICE, ssize_t, -1, splice,
     (int from, off64_t *at, int to, off64_t *there, size_t count, unsigned flags),
     (from, at, to, there, count, flags))
CALL_MODE(OPEN, open, (const char *path, int flags, ...), flags, (path, flags, mode))
CALL_MODE(OPEN, open64, (const char *path, int flags, ...), flags, (path, flags, mode))
CALL_MODE(OPEN, openat, (int at, const char *path, int flags, ...), flags, (at, path, flags, mode))
CALL_MODE(OPEN, openat64, (int at, const char *path, int flags, ...), flags, (at, path, flags, mode))

static int is_dup(int what) { return what == F_DUPFD || what == F_DUPFD_CLOEXEC; }
#define FCNTL(name)                                                                                          \
  int name(int fd, int what, ...) {                                                                          \
    va_list list;                                                                                            \
    va_start(list, what);                                                                                    \
    long argument = va_arg(list, long);                                                                      \
    va_end(list);                                                                                            \
    return is_dup(what) && fails(DUP)                                                                        \
               ? -1                                                                                          \
               : ((int (*)(int, int, ...))dlsym(RTLD_NEXT, #name))(fd, what, argument);                      \
  }
FCNTL(fcntl)
FCNTL(fcntl64)
CALL(DUP, int, -1, dup, (int fd), (fd))

/* Of sockets only, as TLS uses them: threads wake each other by such calls, which want no memory. */
static int fails_at(int fd, enum call call) {
  int type;
  socklen_t length = sizeof type;
  if (!records || !records[call].permille) return 0;
  return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && fails(call);
}
ssize_t write(int fd, const void *bytes, size_t count) {
  static ssize_t (*real)(int, const void *, size_t);
  if (!real) real = (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
  return fails_at(fd, WRITE) ? -1 : real(fd, bytes, count);
}
ssize_t read(int fd, void *bytes, size_t count) {
  static ssize_t (*real)(int, void *, size_t);
  if (!real) real = (ssize_t(*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
  return fails_at(fd, READ) ? -1 : real(fd, bytes, count);
}

/* The proxy makes some calls of its hot path without a cancellation point. */
long syscall(long number, ...) {
  static long (*real)(long, ...);
  long a[6];
  va_list list;
  va_start(list, number);
  for (int i = 0; i < 6; i++) a[i] = va_arg(list, long);
  va_end(list);
  if (!real) real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
  if (number == SYS_recvfrom && fails(RECV)) return -1;
  if (number == SYS_sendto && fails(SEND)) return -1;
  if (number == SYS_openat2 && fails(OPEN)) return -1;
  return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                   void *argument) {
  if (fails(THREAD)) return errno;
  return ((int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))dlsym(
      RTLD_NEXT, "pthread_create"))(thread, attributes, run, argument);
}

#define MAP(name, offset)                                                                                    \
  void *name(void *at, size_t bytes, int protection, int flags, int fd, offset where) {                      \
    static void *(*real)(void *, size_t, int, int, int, offset);                                             \
    if (!real) real = (void *(*)(void *, size_t, int, int, int, offset))dlsym(RTLD_NEXT, #name);             \
    return fails(MMAP) ? MAP_FAILED : real(at, bytes, protection, flags, fd, where);                         \
  }
MAP(mmap, off_t)
MAP(mmap64, off64_t)
