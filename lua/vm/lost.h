// SPDX-License-Identifier: Apache-2.0
// lost: a Lua state that is given up, because it is at one of its bounds where Lua can raise no error.
//
// Nothing of such a state is used again. Its VM stays, with an empty state in its place: whatever of C belongs to it
// is ended as ever, what waits in it fails, and nothing is run in it. The runtime loads the policy anew.
#ifndef PERILUNE_LUA_LOST_H
#define PERILUNE_LUA_LOST_H

#include <lua.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vm;
struct watch;

enum lost { LOST_NOT, LOST_MEMORY, LOST_TIME };

/* Each call of Lua sets a landing. The compiler's own way notes where the stack and the code are, and nothing else;
 * elsewhere than on x86-64 it is little tested. A sanitizer has to know of the jump, and knows longjmp only. */
#if defined __x86_64__ && !defined INVARIANTS
typedef void *landing_place[5];
#define LANDING_SET(place) __builtin_setjmp(place)
#define LANDING_GO(place)  __builtin_longjmp(place, 1)
#else
typedef jmp_buf landing_place;
#define LANDING_SET(place) _setjmp(place)
#define LANDING_GO(place)  longjmp(place, 1)
#endif

/* Where the outermost call of Lua is left from. */
struct landing {
  landing_place place;
  bool is_set;
};

/* Is there one call of Lua on the C stack, and one only? What is between two of them must not be left out. */
bool lost_can_land(const struct vm *vm);
/* Leaves that call. From the allocator, or from a signal's handler that has found lost_is_lua. */
void lost_give_up(struct vm *vm, enum lost why) __attribute__((noreturn));
/* At the landing: puts an empty state in place of the lost one. */
void lost_replace(struct vm *vm);

/* Where the signal has interrupted the thread. */
uintptr_t lost_pc(const void *context);
/* Is that in the interpreter's own code, or in the code that lost_find_code has found? Safe in a handler. */
bool lost_is_lua(const struct watch *watch, uintptr_t pc);
/* Looks whether the place the signal has found last is machine code of the JIT compiler. The watchdog's thread. */
void lost_find_code(struct watch *watch);

/* -0 +0 */
void open_lost(lua_State *L);

#endif
