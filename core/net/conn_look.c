// SPDX-License-Identifier: Apache-2.0
// conn_look: what the kernel is asked or told of a connection without a byte being moved.
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "net/conn.h"

void conn_reset_on_close(struct conn *conn) {
  struct linger now = {.l_onoff = 1, .l_linger = 0};
  setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
}

bool conn_is_ready(const struct conn *conn) {
  struct pollfd look = {.fd = conn->fd};
  if (ev_is_pending(&conn->reader) || ev_is_pending(&conn->writer)) return true;
  if (ev_is_active(&conn->reader)) look.events |= POLLIN;
  if (ev_is_active(&conn->writer)) look.events |= POLLOUT;
  return look.events && conn_is_open(conn) && poll(&look, 1, 0) > 0;
}

enum io conn_peek(struct conn *conn, void *bytes, size_t count, size_t *moved) {
  ssize_t got = recv(conn->fd, bytes, count, MSG_PEEK);
  if (got < 0) return conn_fail(conn);
  *moved = (size_t)got;
  return got ? IO_OK : IO_EOF;
}

enum io conn_look(struct conn *conn) {
  char byte;
  size_t moved;
  return conn->tls ? conn_read(conn, &byte, 1, &moved) : conn_peek(conn, &byte, 1, &moved);
}

int conn_held_by_kernel(const struct conn *conn) {
  int held = 0;
  return ioctl(conn->fd, SIOCOUTQ, &held) == 0 && held > 0 ? held : 0;
}
