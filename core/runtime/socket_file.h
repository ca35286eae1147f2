// SPDX-License-Identifier: Apache-2.0
// socket_file: whose a socket is that we listen on, and its file, if it is a unix socket. Only the owner removes that,
// and shuts down what others listen on as well:
//
//   we opened it                   ours, from the beginning
//   a predecessor handed it over   ours once we serve; until then it goes on with it if we fail
//   a successor has taken it over  the successor's
//   the service manager passed it  always the manager's, which listens on there when we have ended
//
// And even then it is removed only where it is still the same file: somebody else may have put another in its place.
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
