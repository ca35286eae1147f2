// SPDX-License-Identifier: Apache-2.0
// hash_command: perilune hash-password: a line for a file of users, or a hash for a table of them.
#ifndef PERILUNE_CLI_HASH_COMMAND_H
#define PERILUNE_CLI_HASH_COMMAND_H

struct arguments;

/* Returns the exit code. */
int hash_command(struct arguments *a);

#endif
