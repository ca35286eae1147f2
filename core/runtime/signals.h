// SPDX-License-Identifier: Apache-2.0
// signals: what each signal asks of the server.
//   HUP reload   TERM stop gracefully   INT stop now   QUIT drain   USR1 open logs anew   USR2 upgrade
#ifndef PERILUNE_RUNTIME_SIGNALS_H
#define PERILUNE_RUNTIME_SIGNALS_H

#include <ev.h>

struct server;

struct signals {
  ev_signal term, interrupt, hup, usr1, usr2, quit;
};

/* From now on, in the control worker's loop. */
void signals_watch(struct signals *signals, struct server *server);

#endif
