// SPDX-License-Identifier: Apache-2.0
// outlet: files and streams are written in pieces of any length, syslog line by line. If only a part of a line was
// written before the disk was full, a line feed is written after it, so that the next line stands alone.
#include "shared/outlet.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/date.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/why.h"

enum { SMALL_BYTES = 4096, SYSLOG_BYTES = 8000, FACILITY_DAEMON = 3 << 3, COMPLAIN_MS = 60000 };
#define SYSLOG_PATH "/dev/log"

/* --- opening -------------------------------------------------------------------------------------------- */

enum { FILE_FLAGS = O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY };

/* A FIFO that nobody reads refuses to be opened for writing alone. */
static int open_file(const char *path) {
  int flags = FILE_FLAGS;
  int fd = safe_open(path, O_WRONLY | flags, 0640);
  return fd < 0 && errno == ENXIO ? safe_open(path, O_RDWR | flags, 0640) : fd;
}

static int make_file(const char *path, struct file_identity *made) {
  int fd = safe_open(path, O_WRONLY | O_EXCL | FILE_FLAGS, 0640);
  if (fd < 0) return open_file(path);
  *made = file_identity_of_fd(fd);
  return fd;
}

static int connect_syslog(const char *path) {
  struct sockaddr_un addr = {.sun_family = AF_UNIX};
  size_t length = strlen(path);
  if (length >= sizeof addr.sun_path) return errno = ENAMETOOLONG, -1;
  memcpy(addr.sun_path, path, length);
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (connect(fd, (struct sockaddr *)&addr, sizeof addr) == 0) return fd;
  int code = errno;
  close(fd);
  return errno = code, -1;
}

static bool opened(struct outlet *o, const char *target, char **why) {
  struct stat info;
  int code = errno;
  if (o->fd < 0) {
    free(o->path);
    return why_say(why, "%.300s: %s", target,
                   o->kind == OUTLET_SYSLOG ? safe_reason(code) : safe_reason_new(code));
  }
  o->may_stall = o->kind != OUTLET_SYSLOG && fstat(o->fd, &info) == 0 && !S_ISREG(info.st_mode);
  return true;
}

bool outlet_open(struct outlet *o, const char *target, char **why) {
  bool is_output = strcmp(target, "stdout") == 0;
  *o = (struct outlet){.kind = OUTLET_FILE};
  if (is_output || strcmp(target, "stderr") == 0) {
    o->kind = OUTLET_STREAM;
    o->fd = fcntl(is_output ? STDOUT_FILENO : STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
  } else if (strcmp(target, "syslog") == 0 || strncmp(target, "syslog:", 7) == 0) {
    o->kind = OUTLET_SYSLOG;
    o->path = str_to_cstring(target[6] ? str_of(target + 7) : STR(SYSLOG_PATH));
    o->fd = connect_syslog(o->path);
  } else {
    o->path = str_to_cstring(str_of(target));
    o->fd = make_file(target, &o->made);
  }
  return opened(o, target, why);
}

void outlet_close(struct outlet *o) {
  if (o->fd >= 0) close(o->fd);
  free(o->path);
}

void outlet_undo(const struct outlet *o) {
  struct stat info;
  if (o->made.inode && lstat(o->path, &info) == 0 && info.st_size == 0) file_remove(o->path, o->made);
}

static void replace(struct outlet *o, int fd) {
  close(o->fd);
  o->fd = fd;
  o->skips = o->mid_line;
  o->mid_line = o->is_torn = false;
}

void outlet_reopen(struct outlet *o) {
  if (o->kind != OUTLET_FILE) return;
  int fd = open_file(o->path);
  if (fd >= 0)
    replace(o, fd);
  else
    log_error("log %s cannot be reopened: %s", o->path, safe_reason(errno));
}

/* --- files and streams ---------------------------------------------------------------------------------- */

static size_t count_lines(struct str text) {
  size_t count = 0;
  for (size_t at; (at = str_find(text, '\n')) < text.len; text = str_from(text, at + 1)) count++;
  return count;
}

/* Once a minute: the line goes to the error log, which may be this one. */
static void complain(const struct outlet *o, int code) {
  static _Thread_local uint64_t said_ms;
  uint64_t now_ms = clock_now_ms(&clock_system);
  if (said_ms && now_ms - said_ms < COMPLAIN_MS) return;
  said_ms = now_ms;
  log_error("log %s: %s; lines are dropped", o->path ? o->path : "stream", strerror(code));
}

static bool give_up(struct outlet *o, const struct str parts[2], size_t *taken, size_t *dropped) {
  complain(o, errno);
  o->is_torn = o->is_torn || o->mid_line;
  o->mid_line = false;
  *taken = parts[0].len + parts[1].len;
  *dropped = count_lines(parts[0]) + count_lines(parts[1]);
  return true;
}

/* The rest of a line whose beginning is in the file before. */
static bool skip(struct outlet *o, const struct str parts[2], size_t *taken, size_t *dropped) {
  size_t at = str_find(parts[0], '\n');
  if (at < parts[0].len)
    *taken = at + 1;
  else
    *taken = parts[0].len + str_find(parts[1], '\n') + 1;
  o->skips = false;
  *dropped = 1;
  return true;
}

static bool is_writable(int fd) {
  struct pollfd watched = {.fd = fd, .events = POLLOUT};
  return poll(&watched, 1, 0) > 0;
}

/* Does what was written, one byte at least, end a line? */
static bool ends_line(const struct str parts[2], size_t written) {
  const char *last = written <= parts[0].len ? parts[0].ptr + written : parts[1].ptr + written - parts[0].len;
  return last[-1] == '\n';
}

/* Ends the line that was torn, before the next. */
static bool mend(struct outlet *o) {
  o->is_torn = write(o->fd, "\n", 1) != 1;
  return !o->is_torn;
}

static bool write_bytes(struct outlet *o, const struct str parts[2], size_t *taken, size_t *dropped) {
  struct str first = parts[0];
  if (o->skips) return skip(o, parts, taken, dropped);
  if (o->may_stall && !is_writable(o->fd)) return false;
  if (o->is_torn && !mend(o)) return errno == EAGAIN ? false : give_up(o, parts, taken, dropped);
  if (o->may_stall && first.len > SMALL_BYTES) first.len = SMALL_BYTES;
  struct iovec vector[] = {{(void *)first.ptr, first.len}, {(void *)parts[1].ptr, parts[1].len}};
  ssize_t written = writev(o->fd, vector, o->may_stall || !parts[1].len ? 1 : 2);
  if (written < 0 && (errno == EAGAIN || errno == EINTR)) return errno == EINTR;
  if (written < 0) return give_up(o, parts, taken, dropped);
  *taken = (size_t)written;
  if (written) o->mid_line = !ends_line(parts, *taken);
  return true;
}

/* --- syslog --------------------------------------------------------------------------------------------- */

/* A line, its priority first, may lie in both slices. */
static size_t copy_line(const struct str parts[2], char *to, size_t room) {
  size_t n = 0;
  for (int i = 0; i < 2; i++)
    for (size_t k = 0; k < parts[i].len; k++) {
      if (n < room) to[n] = parts[i].ptr[k];
      n++;
      if (parts[i].ptr[k] == '\n') return n;
    }
  return n;
}

static size_t make_packet(char *packet, size_t room, const char *line, size_t length) {
  struct str when = date_text(DATE_SYSLOG, time(NULL));
  int n = snprintf(packet, room, "<%d>%.*s perilune[%d]: %.*s", FACILITY_DAEMON | (line[0] - '0'),
                   STR_ARG(when), (int)getpid(), (int)length - 1, line + 1);
  return (size_t)n < room ? (size_t)n : room - 1;
}

/* syslogd may have been started again meanwhile. */
static bool send_again(struct outlet *o, const char *packet, size_t length) {
  int fd = connect_syslog(o->path);
  if (fd < 0) return false;
  replace(o, fd);
  return send(fd, packet, length, MSG_NOSIGNAL) >= 0;
}

static bool send_line(struct outlet *o, const struct str parts[2], size_t *taken, size_t *dropped) {
  char line[SYSLOG_BYTES], packet[SYSLOG_BYTES + 128];
  size_t length = copy_line(parts, line, sizeof line), kept = length < sizeof line ? length - 1 : sizeof line;
  size_t bytes = make_packet(packet, sizeof packet, line, kept);
  bool sent = send(o->fd, packet, bytes, MSG_NOSIGNAL) >= 0;
  if (!sent && (errno == EAGAIN || errno == ENOBUFS)) return false;
  if (!sent) sent = send_again(o, packet, bytes);
  *taken = length;
  *dropped = !sent;
  if (!sent) complain(o, errno);
  return true;
}

bool outlet_write(struct outlet *o, const struct str parts[2], size_t *taken, size_t *dropped) {
  if (o->kind == OUTLET_SYSLOG) return send_line(o, parts, taken, dropped);
  return write_bytes(o, parts, taken, dropped);
}
