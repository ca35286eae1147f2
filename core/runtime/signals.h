// SPDX-License-Identifier: Apache-2.0
// signals: what each signal asks of the server.
//   HUP reload   TERM stop gracefully   INT stop now   QUIT drain   USR1 open logs anew   USR2 upgrade
//
// They are carried out by the control worker's loop; where that does not turn, since work of the policy never ends, a
// thread of its own sees to TERM and INT: a TERM lets the workers end what they have, an INT or a second TERM ends the
// process.
#ifndef PERILUNE_RUNTIME_SIGNALS_H
#define PERILUNE_RUNTIME_SIGNALS_H

#include <stdbool.h>

struct server;
struct signals;

/* From now on, in the control worker's loop. False: *why is a malloc'd message. Once in a process. */
bool signals_watch(struct signals *signals, struct server *server, char **why);
/* A stop was asked for that the control worker has not taken yet: its workers may be told without it. Any thread. */
bool signals_stop_waits(void);
/* The loop turns no more. Does nothing where none were watched. */
void signals_forget(struct signals *signals);

#endif
