// SPDX-License-Identifier: Apache-2.0
// repl: evaluates Lua text in the VM of one worker (perilune repl). Off unless the setting `repl` is on; the command
// socket lets in root and the proxy's own user only. Each use is logged.
#ifndef PERILUNE_STEER_REPL_H
#define PERILUNE_STEER_REPL_H

struct command_client;

/* "WORKER\tTEXT": the worker's number, or "control". The client gets "#" with the outcome, a digit (enum evaluated),
 * and what was said. */
void steer_repl(struct command_client *client, const char *line);

#endif
