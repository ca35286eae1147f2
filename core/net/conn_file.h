// SPDX-License-Identifier: Apache-2.0
// conn_file: bytes of a file straight into a plain connection (sendfile(2)).
#ifndef PERILUNE_NET_CONN_FILE_H
#define PERILUNE_NET_CONN_FILE_H

#include <sys/types.h>

#include "net/conn.h"

/* Nothing that was written before may still be here (conn_has_unsent). IO_OK: *moved bytes from `offset` on are on
 * their way; IO_AGAIN: the connection takes no more now; IO_EOF: the file gives nothing so: it ends there, or is of a
 * file system without that, and to read it tells which. */
enum io conn_send_file(struct conn *conn, int fd, off_t offset, size_t count, size_t *moved);

#endif
