// SPDX-License-Identifier: Apache-2.0
// process: a proxy from its start to its end. The first connection is accepted only after every worker's policy has
// loaded and every listener is open; the same holds for a reload.
#ifndef PERILUNE_RUNTIME_PROCESS_H
#define PERILUNE_RUNTIME_PROCESS_H

#include "runtime/options.h"

/* Runs until SIGTERM (graceful) or SIGINT (at once); SIGHUP reloads. Returns the exit code; has printed what
 * was wrong. */
int process_run(const struct server_options *options);
/* Loads and validates, opens nothing. (check.c) */
int process_check(const struct policy_source *source, struct config *config, unsigned *warnings);

#endif
