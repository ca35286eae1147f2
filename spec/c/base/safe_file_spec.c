// SPDX-License-Identifier: Apache-2.0
// Units for base/safe_file: what is read, and what is refused instead of waited for.
#include "base/safe_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "unit.h"

enum { MOST = 100000 };

static void check_refused(const char *path, int code) {
  struct buf text = {0};
  errno = 0;
  CHECK(!safe_read(path, MOST, &text));
  CHECK(errno == code);
  CHECK(!text.data);
}

static void write_bytes(const char *path, size_t bytes) {
  FILE *file = fopen(path, "w");
  for (size_t i = 0; i < bytes; i++) fputc('a' + (int)(i % 26), file);
  fclose(file);
}

IT("reads a regular file as a whole, up to its bound, through a link too") {
  static const size_t sizes[] = {0, 1, 4095, 4096, 4097, MOST - 1, MOST};
  char path[UNIT_PATH_BYTES], link[UNIT_PATH_BYTES];
  unit_temporary(path, "safe-file");
  unit_temporary(link, "safe-link");
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    struct buf text = {0};
    write_bytes(path, sizes[i]);
    CHECK(symlink(path, link) == 0);
    CHECK(safe_read(link, MOST, &text));
    CHECK(buf_len(&text) == sizes[i]);
    for (size_t k = 0; k < sizes[i]; k += 997) CHECK(buf_ptr(&text)[k] == (char)('a' + k % 26));
    buf_release(&text);
    unlink(link);
    unlink(path);
  }
}

IT("refuses what is larger, whether its size says so or not") {
  char path[UNIT_PATH_BYTES];
  unit_temporary(path, "safe-large");
  write_bytes(path, MOST + 1);
  check_refused(path, EFBIG);
  CHECK(truncate(path, (off_t)1 << 40) == 0);
  check_refused(path, EFBIG);
  unlink(path);
  struct buf text = {0};
  CHECK(!safe_read("/proc/self/maps", 100, &text) && errno == EFBIG); /* says that it is empty */
  CHECK(!text.data);
}

IT("waits for no FIFO, and reads no device, folder or socket") {
  char path[UNIT_PATH_BYTES];
  unit_temporary(path, "safe-other");
  CHECK(mkfifo(path, 0600) == 0);
  check_refused(path, ENOTSUP);
  unlink(path);
  check_refused("/dev/zero", ENOTSUP);
  check_refused("/", EISDIR);
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  snprintf(at.sun_path, sizeof at.sun_path, "%s", path);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  CHECK(bind(fd, (struct sockaddr *)&at, sizeof at) == 0);
  check_refused(path, ENOTSUP);
  close(fd);
  unlink(path);
  check_refused(path, ENOENT);
}

IT("says in a sentence what was wrong") {
  CHECK_STR(str_of(safe_reason(ENOTSUP)), "it is no regular file");
  CHECK_STR(str_of(safe_reason(EFBIG)), "it is larger than 4 MiB");
  CHECK_STR(str_of(safe_reason(ENOENT)), "No such file or directory");
}
