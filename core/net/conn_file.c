// SPDX-License-Identifier: Apache-2.0
// conn_file: see conn_file.h.
#include "net/conn_file.h"

#include <errno.h>
#include <sys/sendfile.h>

enum io conn_send_file(struct conn *conn, int fd, off_t offset, size_t count, size_t *moved) {
  CHECK_OBJ(conn, CONN_MAGIC);
  CHECK(conn_is_open(conn) && conn_is_plain(conn) && !conn_has_unsent(conn));
  ssize_t sent = sendfile(conn->fd, fd, &offset, count);
  conn->tight = sent < (ssize_t)count;
  if (sent > 0) {
    *moved = (size_t)sent;
    return IO_OK;
  }
  if (sent == 0 || errno == EINVAL || errno == ENOSYS || errno == EOPNOTSUPP) return IO_EOF;
  return conn_note_shortage(conn, conn_fail(conn));
}
