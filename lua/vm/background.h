// SPDX-License-Identifier: Apache-2.0
// background: counts the current runs of a policy's background work (jobs of lua/api/timer.c, and the tasks that they
// spawn). Like exchanges, they keep their policy and their worker until they end or are cut off.
#ifndef PERILUNE_LUA_BACKGROUND_H
#define PERILUNE_LUA_BACKGROUND_H

struct vm;

/* One more run; background_end follows. */
void background_begin(struct vm *vm);
/* The policy may be unused by that, and is freed from the loop. */
void background_end(struct vm *vm);
/* Logs, in one line, how many functions were dropped. */
void background_report(struct vm *vm);

#endif
