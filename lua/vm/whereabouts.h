// SPDX-License-Identifier: Apache-2.0
// whereabouts: where a turn of Lua is that does not come back: which hook it runs, and which line of the policy, where
// that can be known.
//
// The hook, and where it is defined, are known from its begin. The line is looked up by a signal's handler, in the
// thread that is meant. That is sound where the thread waits in a system call, and there alone: a C function that Lua
// has called is in it, so the stack of Lua is at rest, and reading it allocates nothing. Elsewhere the line stays
// unknown.
#ifndef PERILUNE_LUA_WHEREABOUTS_H
#define PERILUNE_LUA_WHEREABOUTS_H

#include <stdbool.h>
#include <stddef.h>

#include "lua/vm/parts.h"

struct vm;

/* The watchdog's thread: is the line of that turn still to be looked up? True a few times in a turn; then it sends the
 * signal. */
bool whereabouts_want(struct watch *watch, unsigned turn);
/* In the signal's handler: looks it up, if it is wanted and can be known. */
void whereabouts_look(struct vm *vm, const void *context);
/* "request_filter at policy.lua:14", "request_filter (defined at policy.lua:12)", "the main chunk at policy.lua:3". */
void whereabouts_describe(const struct watch *watch, char *text, size_t bytes);
/* Is the line known? Then the turn waits in a call. */
bool whereabouts_are_known(const struct watch *watch);

#endif
