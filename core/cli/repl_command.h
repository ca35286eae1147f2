// SPDX-License-Identifier: Apache-2.0
// repl_command: perilune repl: sends Lua text to a running proxy (runtime/steer/repl.h), and shows what it says.
#ifndef PERILUNE_CLI_REPL_COMMAND_H
#define PERILUNE_CLI_REPL_COMMAND_H

struct arguments;

/* Returns the exit code: 1 where the last text was an error. */
int repl_command(struct arguments *a);

#endif
