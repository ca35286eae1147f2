// SPDX-License-Identifier: Apache-2.0
// lost: leaves a Lua state that cannot be stopped in any other way. The hard problem is when this is safe. For the C
// functions in between, a jump out of Lua looks like an error raised at that place, and they expect errors whenever
// Lua runs. So it is done in two places only: in the allocator, where Lua expects an error, too; and in a signal
// handler that has interrupted Lua code itself, which is either the interpreter (one piece of assembly) or machine
// code (in memory that belongs to no file). Neither holds a lock, and neither is inside malloc or a C function.
// LuaJIT's own structures may be half written, but they are not used again: the state's memory is freed with the VM,
// and the C objects that it held are ended from the VM's lists.
#include "lua/vm/lost.h"

#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

#include "base/log.h"
#include "lua/vm/vm.h"

/* The interpreter's code: the same for all states. */
static struct {
  uintptr_t from;
  size_t bytes;
} interpreter;

bool lost_can_land(const struct vm *vm) { return vm->depth == 1 && vm->landing.is_set; }

void lost_give_up(struct vm *vm, enum lost why) {
  vm->landing.is_set = false;
  vm->lost.why = why;
  LANDING_GO(vm->landing.place);
}

/* Where the state was left, nobody can tell: machine code keeps no line. What is known is the function that began. */
static void note_why(struct vm *vm) {
  const char *place = atomic_load(&vm->watch.place);
  const char *who = place ? "the function that begins there, or one that it calls, " : "it ";
  bool is_memory = vm->lost.why == LOST_MEMORY;
  snprintf(
      vm->lost.text, sizeof vm->lost.text, "%s%s%s%s%s, so its VM was given up", place ? place : "",
      place ? ": " : "", is_memory ? "not enough memory: " : "used up its time: ", who,
      is_memory
          ? "went far beyond memory_limit in compiled code"
          : "ran for long without a pause and could not be interrupted (a loop that LuaJIT has compiled, a "
            "finalizer and an error handler tell no line)");
}

void lost_replace(struct vm *vm) {
  vm->lost.is_replaced = true;
  note_why(vm);
  vm->L = lua_newstate(allocator_run, &vm->memory);
  if (!vm->L) {
    log_error("no memory for an empty Lua state");
    abort();
  }
  vm->ctx_supply.fresh = vm->ctx_supply.count = 0;
  vm->use.collect_at_bytes = 0; /* no task is begun without a look */
  vm->watch.is_armed = false;
  vm->memory.asks_at = SIZE_MAX;
}

/* --- where it was interrupted ----------------------------------------------------------------------------- */

uintptr_t lost_pc(const void *context) {
#if defined __x86_64__
  return (uintptr_t)((const ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
#elif defined __aarch64__
  return (uintptr_t)((const ucontext_t *)context)->uc_mcontext.pc;
#else
  (void)context;
  return 0;
#endif
}

bool lost_is_compiled(const struct watch *watch, uintptr_t pc) {
  return pc >= atomic_load(&watch->code_from) && pc < atomic_load(&watch->code_to);
}

bool lost_is_lua(const struct watch *watch, uintptr_t pc) {
  return pc - interpreter.from < interpreter.bytes || lost_is_compiled(watch, pc);
}

/* A line of /proc/self/maps: of memory that can be run and belongs to no file. */
static bool is_code_at(const char *line, uintptr_t pc, uintptr_t *from, uintptr_t *to) {
  unsigned long first, end, inode;
  char rights[8];
  int length = 0;
  if (sscanf(line, "%lx-%lx %7s %*s %*s %lu%n", &first, &end, rights, &inode, &length) != 4) return false;
  while (line[length] == ' ') length++;
  *from = first;
  *to = end;
  return pc >= first && pc < end && rights[2] == 'x' && inode == 0 && line[length] == '\n';
}

void lost_find_code(struct watch *watch) {
  char line[512];
  uintptr_t pc = atomic_load(&watch->pc), from = 0, to = 0;
  FILE *maps = fopen("/proc/self/maps", "re");
  if (!maps) return;
  while (fgets(line, sizeof line, maps)) {
    if (!is_code_at(line, pc, &from, &to)) continue;
    atomic_store(&watch->code_to, 0);
    atomic_store(&watch->code_from, from);
    atomic_store(&watch->code_to, to);
    break;
  }
  fclose(maps);
}

/* --- the interpreter -------------------------------------------------------------------------------------- */

struct unwind_bases {
  void *text, *data, *function;
};
const void *_Unwind_Find_FDE(void *pc, struct unwind_bases *bases);

enum { RANGE_AT = 12, INTERPRETER_LEAST = 4 << 10, INTERPRETER_MOST = 512 << 10 };

/* C functions are called by the interpreter, whose code is one piece to whoever unwinds the stack: it begins there,
 * and has as many bytes as its description says. -0 +0 */
static __attribute__((noinline)) int find_interpreter(lua_State *L) {
  struct unwind_bases bases = {0};
  char *caller = __builtin_extract_return_addr(__builtin_return_address(0));
  const char *description = _Unwind_Find_FDE(caller - 1, &bases);
  unsigned bytes;
  (void)L;
  if (!description) return 0;
  memcpy(&bytes, description + RANGE_AT, sizeof bytes);
  uintptr_t from = (uintptr_t)bases.function;
  if (bytes < INTERPRETER_LEAST || bytes > INTERPRETER_MOST || (uintptr_t)caller - from > bytes) return 0;
  interpreter.from = from;
  interpreter.bytes = bytes;
  return 0;
}

void open_lost(lua_State *L) {
  if (interpreter.bytes) return;
  lua_pushcfunction(L, find_interpreter);
  lua_call(L, 0, 0);
}
