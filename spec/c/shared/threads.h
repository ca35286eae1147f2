// SPDX-License-Identifier: Apache-2.0
// threads: runs one function on several threads at once, for units of what is shared.
#ifndef PERILUNE_SPEC_THREADS_H
#define PERILUNE_SPEC_THREADS_H

enum { THREADS = 4 };

/* Calls run(argument, 0 ... THREADS - 1), each on a thread of its own, started together; returns when all
 * ended. */
void threads_run(void (*run)(void *argument, unsigned index), void *argument);

#endif
