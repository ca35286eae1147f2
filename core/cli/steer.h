// SPDX-License-Identifier: Apache-2.0
// steer: the commands that speak to a running proxy about its backends, its log and itself.
#ifndef PERILUNE_CLI_STEER_H
#define PERILUNE_CLI_STEER_H

#include <stdbool.h>
#include <stdio.h>

struct arguments;
struct client_target;

/* Which proxy the arguments name. False: they name it more than once, and that was said. */
bool command_target(const struct arguments *a, struct client_target *target);

/* Sends the line to the proxy that the arguments name; `changes` as in runtime/client.h. Returns the exit code, as the
 * rest do. */
int command_tell(struct arguments *a, const char *line, bool changes);
/* The same for a command whose bytes go to `raw` (runtime/client.h). */
int command_fetch(struct arguments *a, const char *line, FILE *raw);
int steer_backend(struct arguments *a);
int steer_log_level_command(struct arguments *a);
int ps(struct arguments *a);

#endif
