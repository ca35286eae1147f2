// SPDX-License-Identifier: Apache-2.0
// socket_file: who owns a listening socket, and its file, if it is a unix socket. Only the owner removes the file,
// and shuts down sockets that others listen on as well:
//
//   we opened it                     ours, from the beginning
//   an older process passed it       ours once we serve; until then the older process keeps it if we fail
//   a newer process has taken it     the newer process's
//   the service manager passed it    always the manager's, which keeps listening when we have ended
//
// The owner removes it only if it is still the same file: somebody may have put another one in its place.
#ifndef PERILUNE_RUNTIME_SOCKET_FILE_H
#define PERILUNE_RUNTIME_SOCKET_FILE_H

#include <sys/un.h>

#include "base/safe_file.h"
#include "net/addr.h"

enum socket_owner { OWNER_US, OWNER_PREDECESSOR, OWNER_SUCCESSOR, OWNER_MANAGER };

/* Holds nothing to be freed, and may be copied. */
struct socket_file {
  char path[sizeof((struct sockaddr_un *)0)->sun_path + 1]; /* "": an IP address, or an abstract name */
  struct file_identity identity;
  enum socket_owner owner;
};

/* Of a socket that is bound to `addr`. */
void socket_file_note(struct socket_file *file, const struct addr *addr, enum socket_owner owner);
/* We serve: what a predecessor handed over is ours. */
void socket_file_adopt(struct socket_file *file);
/* A successor serves: what was ours is its own. */
void socket_file_hand_over(struct socket_file *file);
/* Where it is ours; once. While the socket is open, no other file can have its number. */
void socket_file_remove(struct socket_file *file);

#endif
