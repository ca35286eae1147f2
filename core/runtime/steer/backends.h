// SPDX-License-Identifier: Apache-2.0
// steer/backends: `perilune backend`: people take single backends of a running proxy out, and give them other weights.
// What they say is kept in shared/orders, over reloads and upgrades, until they take it back.
#ifndef PERILUNE_RUNTIME_STEER_BACKENDS_H
#define PERILUNE_RUNTIME_STEER_BACKENDS_H

struct command_client;

/* "ACTION FOR_MS\tSET\tADDRESS\tWEIGHT"; SET is empty where nobody has said it. Answers the client. */
void steer_backends(struct command_client *client, const char *line);

#endif
