// SPDX-License-Identifier: Apache-2.0
// dryrun: `perilune reload --shadow`: tries the next generation on copies of live request heads for a while, and
// reports where it decides differently. Nothing is put in force. Its shared objects (rates, dictionaries, backend
// sets) are separate, so that it cannot disturb those in force; but what its hooks send, such as their own
// requests, is really sent.
#ifndef PERILUNE_RUNTIME_DRYRUN_H
#define PERILUNE_RUNTIME_DRYRUN_H

#include <stdbool.h>

struct dryrun;
struct server;
struct worker;

/* Begins; the report goes to the client that waits for it on the command socket. False: *why is a malloc'd message. */
bool dryrun_start(struct server *server, unsigned for_ms, char **why);
/* Before its time, with a report of what was seen: at once, but for a moment for a worker that does not answer. */
void dryrun_abort(struct dryrun *dryrun);
/* Ends it without a report. NULL is fine. */
void dryrun_free(struct dryrun *dryrun);
/* Before the worker runs: what it answers comes here. */
void dryrun_heed(struct worker *worker);

#endif
