// SPDX-License-Identifier: Apache-2.0
// starting: says to commands that a process loads its first policy, and cannot answer them yet.
//
// It has no loop then, or none that turns, so nothing is sent: all that is known stands in the name of an abstract
// socket, which listens and is never accepted from: "@perilune-starting-PID-SECONDS PATH". The kernel says who has
// bound it, and takes it away with the process.
#ifndef PERILUNE_RUNTIME_STARTING_H
#define PERILUNE_RUNTIME_STARTING_H

#include <stdbool.h>
#include <stddef.h>

/* This process loads `policy`, a path, from now on; again after a fork. Nothing is said where that fails. */
void starting_begin(const char *policy);
/* It does no longer. Harmless when repeated. */
void starting_end(void);
/* Has it begun, and not ended: is nothing served yet? Any thread. */
bool starting_is_under_way(void);

enum { STARTING_BYTES = 320 };

/* For commands: a process of this user or of root that is loading, `pid` or, for 0, any: what it does, in a sentence
 * that may be shown as it is. False: there is none. */
bool starting_find(int pid, char *text, size_t bytes);

#endif
