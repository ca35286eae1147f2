// SPDX-License-Identifier: Apache-2.0
// whereabouts: what a turn of Lua that does not return is doing: which hook it runs, and at which line of the policy
// it is, if that can be known.
//
// The hook, and where it is defined, are known from the start of the turn. The line is looked up by a signal's
// handler, in the turn's thread. That is sound only while the thread waits in a system call: then a C function that
// Lua has called runs, so the stack of Lua is at rest, and reading it allocates nothing. It is not enough that the
// thread has made a system call: LuaJIT makes some that do not wait, when it moves its stack (mremap, munmap) and
// when it raises an error (sigaltstack, with AddressSanitizer), and its stack is in no order then. At other times the
// line stays unknown.
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
/* Has the signal interrupted a system call that waited? The kernel sets the thread back to the instruction, to repeat
 * the call, or lets it return EINTR; a call that does not wait has returned before the handler runs. False if the
 * processor is not known. `context`: the handler's third argument. */
bool whereabouts_is_blocked(const void *context);
/* "request_filter at policy.lua:14", "request_filter (defined at policy.lua:12)", "the main chunk at policy.lua:3". */
void whereabouts_describe(const struct watch *watch, char *text, size_t bytes);
/* Why it cannot be interrupted, as far as that is known: "cannot be interrupted: it waits in a call, ...". Behind
 * lost_find_code. */
const char *whereabouts_why(const struct watch *watch);

#endif
