// SPDX-License-Identifier: Apache-2.0
// client: the other side of runtime/command: sends a command to a running proxy.
#ifndef PERILUNE_RUNTIME_CLIENT_H
#define PERILUNE_RUNTIME_CLIENT_H

#include <stdbool.h>
#include <stdio.h>

#include "runtime/running.h"

/* Sends the line, waits, prints the answer. `changes`: it does more than look; where nobody has said which proxy is
 * meant, it is told which. Bytes for a file, of a command that sends some, go to `raw` (command.h). Returns the exit
 * code. */
int client_stream(const struct client_target *target, const char *line, bool changes, FILE *raw);

#endif
