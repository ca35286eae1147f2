// SPDX-License-Identifier: Apache-2.0
// profiler: where the time of a VM goes, by call stack: the time of its thread on the processor, by samples, or the
// time that its hooks wait. Off, it is a pointer that is NULL; nothing looks at it but a call that waits.
//
// Samples are taken by LuaJIT's own profiler, the only one that sees lines of compiled code: luaJIT_profile_start, of
// which this file is the one door. It has three properties that decide all the rest.
//  - There is one in a process, for one VM. So the runtime lets the workers take turns, and scales what they tell.
//  - Its timer is the process's (ITIMER_PROF), whose signal any thread may get; its handler writes to the VM all the
//    same, in which another thread runs. So that timer is stopped at once, and the VM's own thread has one of its CPU
//    time (timer_create, SIGEV_THREAD_ID), whose signal comes in that thread alone.
//  - It takes all time of the thread for Lua's: what the proxy itself does would be the next line's that runs. So our
//    handler, which comes before LuaJIT's, passes on only what interrupts a turn of this VM, and counts the rest apart.
// Compiled code is made anew at its beginning and its end: with checks at each new line, and without.
#ifndef PERILUNE_LUA_PROFILER_H
#define PERILUNE_LUA_PROFILER_H

#include <lua.h>

#include "shared/profile.h"

struct task;
struct vm;

/* What happens in the VM goes to the profile, which is borrowed until profiler_end. In the VM's thread, not while Lua
 * runs. NULL, or why not: a static sentence. */
const char *profiler_begin(struct vm *vm, struct profile *profile);
/* In the same thread; harmless where its VM has ended. */
void profiler_end(struct profile *profile);
/* The VM's state ends, or is given up: before that. Harmless where it is not profiled. */
void profiler_vm_ends(struct vm *vm);

/* A task has begun to wait, in a call of the coroutine L; and its wait ends, or is ended. For tasks of a VM that is
 * profiled, and that have a note. */
void profiler_wait_begins(lua_State *L, struct task *task);
void profiler_wait_ends(struct task *task);

#endif
