// SPDX-License-Identifier: Apache-2.0
// watchdog: Lua code that runs too long without a pause is interrupted; what cannot be interrupted is
// reported.
//
// One thread of the process checks all VMs a few times a second. A VM only counts when it enters and leaves
// Lua, so being watched costs two stores per call.
#ifndef PERILUNE_LUA_WATCHDOG_H
#define PERILUNE_LUA_WATCHDOG_H

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

struct vm;

/* While the policy loads it has a longer budget; then, from watch_loaded on, that of a hook. */
void watch_begin(struct vm *vm);
void watch_loaded(struct vm *vm);
/* The budget from now on, also of what runs already. */
void watch_budget(struct vm *vm, unsigned ms);
void watch_end(struct vm *vm);
/* Has a main chunk with this budget of CPU time had its time by the clock, of which it used so much CPU time? */
bool watch_load_is_over(unsigned budget_ms, uint64_t waited_ms, uint64_t used_ms);
/* "stuck in request_filter at policy.lua:14 for 7 s", if that worker's Lua runs beyond its budget; else "".
 * Of POLICY_LOADING what is being loaded: "the main chunk at policy.lua:3". Any thread. */
void watch_doing(unsigned worker, char *text, size_t bytes);
/* Main chunks that run are interrupted, now and until this is taken back: nobody wants them. Thread-safe. */
void watch_hurry_loads(bool hurries);
/* Around a fork by which the process goes on as its child: the watchdog's thread ends before it, and begins again. */
void watch_fork(bool is_over);

/* Around each call of Lua; they nest. `place` is that of what runs, "policy.lua:12", or NULL; `hook` an enum hook, or
 * TASK_NO_HOOK for other work. */
void watch_enter(struct vm *vm, const char *place, unsigned hook);
void watch_leave(struct vm *vm);
/* Whose Lua this thread runs; NULL: it runs none. Safe in a handler. */
struct vm *watch_running(void);
/* Lua's hook is set, to raise at the next instruction that is interpreted. Safe wherever Lua runs. */
void watch_arm(struct vm *vm);
/* Was the turn told to stop, and did not? It is to be given up. */
bool watch_is_doomed(const struct vm *vm);
/* For C code that may take long: raises where Lua code would be interrupted. */
void watch_check(struct vm *vm, lua_State *L);

#endif
