// SPDX-License-Identifier: Apache-2.0
// client: the other side of runtime/command: finds a running proxy and tells it something.
#ifndef PERILUNE_RUNTIME_CLIENT_H
#define PERILUNE_RUNTIME_CLIENT_H

struct client_target {
  const char *socket;   /* path, or NULL */
  const char *pid_file; /* path, or NULL; with neither, the one proxy that this user runs is meant */
};

/* Sends the line, waits, prints the answer. Returns the exit code. */
int client_command(const struct client_target *target, const char *line);

#endif
