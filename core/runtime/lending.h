// SPDX-License-Identifier: Apache-2.0
// lending: a worker that is blocked in a call accepts no connections, but the kernel still queues them for its
// sockets. So after about two seconds another worker accepts from these sockets as well, until the blocked worker
// returns to its loop. Only the control worker uses this.
#ifndef PERILUNE_RUNTIME_LENDING_H
#define PERILUNE_RUNTIME_LENDING_H

#include <stdbool.h>

struct server;
struct lending;

void lending_init(struct lending *lending, const struct server *server);
void lending_free(struct lending *lending);
/* Checks which workers are blocked or have returned. Each second. */
void lending_beat(struct server *server);
/* A generation was handed out to the workers: its sockets are lent in place of those of the last one. */
void lending_renew(struct server *server);

#endif
