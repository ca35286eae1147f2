// SPDX-License-Identifier: Apache-2.0
// stack: a policy can make C functions call Lua that calls C functions, and so on. Within one coroutine Lua's own stack
// ends at some ten thousand levels, for which a worker's C stack has room unless a function has a large frame, as
// string.gsub has; through coroutines only memory is a limit. So functions that call Lua in one of these ways first
// check how much of the thread's stack is left.
#include "lua/vm/stack.h"

#include <lauxlib.h>
#include <pthread.h>
#include <stdint.h>

/* For everything that is called behind the check: the collector, a traceback, what the core does. */
#ifdef __SANITIZE_ADDRESS__
enum { LEFT_LEAST = 2 << 20 };
#else
enum { LEFT_LEAST = 512 << 10 };
#endif

/* Coroutines in one another take some hundred bytes each: this is for several hundreds, each of which an
 * error passes. */
enum { COROUTINES_MOST = 192 << 10 };

static _Thread_local uintptr_t lowest, lowest_nested; /* that a frame may begin at */

/* Coroutines count from the first look of the thread, which is near its start: the end of its stack is no measure,
 * since the C library keeps the variables of the thread there, of which a sanitizer has many. */
static __attribute__((cold)) void find_lowest(uintptr_t frame) {
  pthread_attr_t attributes;
  void *from = NULL;
  size_t bytes = 0;
  lowest = lowest_nested = 1;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) return;
  if (pthread_attr_getstack(&attributes, &from, &bytes) == 0) {
    size_t left = bytes / 2 < LEFT_LEAST ? bytes / 2 : LEFT_LEAST; /* `ulimit -s` may leave little */
    lowest = (uintptr_t)from + left;
    lowest_nested = frame - COROUTINES_MOST > lowest ? frame - COROUTINES_MOST : lowest;
  }
  pthread_attr_destroy(&attributes);
}

/* Not the address of a variable: what a sanitizer watches lies elsewhere. */
static uintptr_t here(void) {
  uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
  if (!lowest) find_lowest(frame);
  return frame;
}

void stack_check(lua_State *L) {
  if (here() < lowest) luaL_error(L, "stack overflow (C functions and coroutines in one another)");
}

void stack_check_coroutine(lua_State *L) {
  if (here() < lowest_nested) luaL_error(L, "stack overflow (coroutines in one another)");
}
