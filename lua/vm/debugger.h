// SPDX-License-Identifier: Apache-2.0
// debugger: stops the coroutine of a hook, or of background work, at a line of the policy (perilune run --break).
//
// LuaJIT can yield from a line hook: so what is stopped waits as if it had called perilune.sleep, and everything else
// of its worker goes on. It goes on when the person at the terminal says so (runtime/debugging.h). Nothing is compiled
// in a VM that is debugged, for compiled code calls no hook. Where C is between the task and the line (string.gsub,
// table.sort), and while a policy loads, nothing can yield: that is told, and the line is passed.
//
// Words. stop: what is stopped, with a number. step: what a task that goes on is to stop at next.
#ifndef PERILUNE_LUA_DEBUGGER_H
#define PERILUNE_LUA_DEBUGGER_H

struct vm;

/* Looks for the breakpoints of its host from now on, if there are any. In its worker's thread, once. */
void debugger_begin(struct vm *vm);
/* policy_kind.debug */
void debugger_obey(unsigned long number, const char *line);

#endif
