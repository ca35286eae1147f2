// SPDX-License-Identifier: Apache-2.0
// emergency: loads the policy again if one of its VMs was given up or has no memory left.
#ifndef PERILUNE_RUNTIME_EMERGENCY_H
#define PERILUNE_RUNTIME_EMERGENCY_H

#include <stddef.h>

struct server;
struct worker;

void emergency_init(struct server *server);
void emergency_stop(struct server *server);
/* In the worker's own thread: see worker.on_lost. */
void emergency_ask(struct worker *worker);
/* "stuck in request_filter at policy.lua:14 for 7 s", if the worker's policy runs beyond its budget; else "". In any
 * thread. */
void worker_doing(const struct worker *worker, char *text, size_t bytes);

#endif
