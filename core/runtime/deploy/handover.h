// SPDX-License-Identifier: Apache-2.0
// handover: listening sockets that come from outside, and go to a successor, by the socket-activation
// protocol: descriptors from 3 on, LISTEN_FDS and LISTEN_PID in the environment. systemd speaks it, and a
// proxy to its own successor.
//
// An upgrade starts the program's file anew with the same arguments and our sockets. It writes into a pipe
// when it serves; only then do we drain. Should it end before that, we go on as if nothing had been.
#ifndef PERILUNE_RUNTIME_HANDOVER_H
#define PERILUNE_RUNTIME_HANDOVER_H

#include <sys/types.h>

#include "base/str.h"
#include "net/addr.h"
#include "runtime/socket_file.h"

struct handover;
struct ancestors;
struct listening;
struct server;

enum { HANDOVER_FIRST_FD = 3 };

/* Our program's file, to be started anew by its name. Called by handover_init. */
void handover_note_program(void);
/* (inherited.c) Reads what was handed to us, and the ancestors' pipe. Call once, before threads start and descriptors
 * are opened. */
void handover_init(struct ancestors *ancestors);
/* Sockets handed to us for this address (as the policy says it, and parsed): fills fds[0..count), duplicating
 * where there are fewer, and says whose their file is. False: there are none. Each socket is given out once. */
bool handover_take(struct str said, const struct addr *addr, int *fds, unsigned count,
                   enum socket_owner *owner);
/* Closes what nobody has asked for, and says so in the log. */
void handover_drop_rest(void);

/* The process serves (why NULL); or has failed, is no more, and we go on. */
typedef void handover_ended(struct server *server, pid_t successor, const char *why);
/* Starts the successor, which has timeout_ms to serve. NULL: *why is a malloc'd message. `on_end` is called once
 * from the control loop, and frees the handover. */
struct handover *handover_start(struct server *server, char **arguments, unsigned timeout_ms,
                                handover_ended *on_end, char **why);
/* Ends a successor that does not serve yet. NULL is fine. */
void handover_free(struct handover *handover);

#endif
