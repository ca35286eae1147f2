// SPDX-License-Identifier: Apache-2.0
// handover: passes our listening sockets to a new process, by the socket-activation protocol (deploy/inherited.h).
//
// An upgrade starts the program's file again with the same arguments and our sockets. The new process writes to a
// pipe when it serves; only then do we drain. If it ends before that, we continue as before.
#ifndef PERILUNE_RUNTIME_HANDOVER_H
#define PERILUNE_RUNTIME_HANDOVER_H

#include <sys/types.h>

struct handover;
struct listening;
struct server;

/* Our program's file, to be started again by its name. Before threads start. */
void handover_note_program(void);
/* The process serves (why NULL); or has failed, is no more, and we go on. */
typedef void handover_ended(struct server *server, pid_t successor, const char *why);
/* Starts the successor, which has timeout_ms to serve. NULL: *why is a malloc'd message. `on_end` is called once
 * from the control loop, and frees the handover. */
struct handover *handover_start(struct server *server, char **arguments, unsigned timeout_ms,
                                handover_ended *on_end, char **why);
/* Ends a successor that does not serve yet. NULL is fine. */
void handover_free(struct handover *handover);

#endif
