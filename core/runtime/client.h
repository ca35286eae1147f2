// SPDX-License-Identifier: Apache-2.0
// client: the other side of runtime/command: sends a command to a running proxy.
#ifndef PERILUNE_RUNTIME_CLIENT_H
#define PERILUNE_RUNTIME_CLIENT_H

#include <stdbool.h>
#include <stdio.h>

#include "runtime/running.h"

/* Sends the line, waits, prints the answer. `changes`: it does more than look; where nobody has said which proxy is
 * meant, it is told which. Returns the exit code. */
int client_command(const struct client_target *target, const char *line, bool changes);
/* The same for a command that sends bytes for a file, too: they go to `raw` (command.h). */
int client_stream(const struct client_target *target, const char *line, bool changes, FILE *raw);

#endif
