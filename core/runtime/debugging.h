// SPDX-License-Identifier: Apache-2.0
// debugging: the prompt of `perilune run --break` in the terminal. It belongs to the control worker's loop; what is
// stopped belongs to its worker, which it asks by messages. One is spoken of at a time, the others wait in a queue.
//
// It ends, and everything goes on, where the person says quit, or the terminal's input ends (Ctrl-D), or the terminal
// goes, or the process begins to end. Ctrl-C is the process's: it stops at once, as ever.
#ifndef PERILUNE_RUNTIME_DEBUGGING_H
#define PERILUNE_RUNTIME_DEBUGGING_H

#include <stdbool.h>

struct debugging;
struct policy_debug;
struct server;

/* Where there are breakpoints, opens the terminal; before there are workers, whose hosts get debugging_of. False:
 * *why is a malloc'd message. */
bool debugging_open(struct server *server, char **why);
/* What the hosts of its policies get. NULL is fine, as for the rest. */
struct policy_debug *debugging_of(struct debugging *debugging);
/* The loops are there: the terminal is read from now on. */
void debugging_begin(struct debugging *debugging);
/* Everything goes on. */
void debugging_end(struct debugging *debugging);
/* When no worker runs any more. */
void debugging_free(struct debugging *debugging);

#endif
