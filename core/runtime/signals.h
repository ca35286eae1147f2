// SPDX-License-Identifier: Apache-2.0
// signals: what each signal asks of the server.
//   HUP reload   TERM stop gracefully   INT stop now   QUIT drain   USR1 open logs again   USR2 upgrade
//
// The control worker's loop carries them out. If that loop is blocked, because the policy's work never ends, a
// separate thread handles TERM and INT: after a TERM the workers finish their requests, an INT or a second TERM ends
// the process.
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
