// SPDX-License-Identifier: Apache-2.0
// conn_splice: long bodies from one plain connection to another by a pipe, past the process (splice(2)).
#include <errno.h>
#include <fcntl.h>

#include "net/conn.h"
#include "net/pipe.h"

/* Nothing of the connection, but of what the system can, or a sandbox permits. */
static bool is_refusal(int error) {
  return error == EINVAL || error == ENOSYS || error == EPERM || error == EACCES || error == EOPNOTSUPP;
}

enum io conn_splice_in(struct conn *conn, struct pipe *pipe, size_t count) {
  CHECK(pipe->bytes == 0 && conn_is_plain(conn));
  ssize_t got = splice(conn->fd, NULL, pipe->write_end, NULL, count, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (got < 0 && is_refusal(errno)) {
    pipe_give_up(errno); /* reading goes on without */
    return IO_AGAIN;
  }
  if (got < 0) return conn_fail(conn);
  if (conn->fatal) conn_feed(conn); /* as conn_read does */
  pipe->bytes = (size_t)got;
  return got ? IO_OK : IO_EOF;
}

enum io conn_splice_out(struct conn *conn, struct pipe *pipe) {
  enum io result = conn_send_earlier(conn);
  if (result != IO_OK) return result;
  CHECK(pipe->bytes > 0 && conn_is_plain(conn));
  ssize_t put = splice(pipe->read_end, NULL, conn->fd, NULL, pipe->bytes, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
  if (put > 0) pipe->bytes -= (size_t)put;
  conn->tight = pipe->bytes != 0;
  if (put == 0) errno = EIO; /* which is not to be, and must not be tried for ever */
  return put > 0 ? IO_OK : conn_note_shortage(conn, conn_fail(conn));
}
