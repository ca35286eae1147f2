// SPDX-License-Identifier: Apache-2.0
// cap: a VM's memory limit. The hard problem is where to refuse an allocation: LuaJIT cannot unwind one that fails in
// machine code, and the process would end. So none is refused there. An allocation beyond the limit succeeds, and
// Lua's hook is set: the interpreter calls it at its next instruction; machine code returns to the interpreter at its
// next check of the collector, which is made due. The hook collects garbage; if that is not enough, it raises an
// error at the policy's line, like any other.
//
// The policy's own data may be at the limit already. So that other requests can continue, each turn may use a little
// more than the limit while there is a reserve; and the runtime is asked to load the policy again.
//
// Machine code that never checks the collector (numbers stored in a table), or one huge allocation, reaches the hard
// limit. Where no machine code runs, the allocation is refused; otherwise the whole Lua state is given up (lost.h).
#include "lua/vm/cap.h"

#include <lauxlib.h>

#include "lua/vm/handle.h"
#include "lua/vm/lost.h"
#include "lua/vm/push.h"
#include "lua/vm/vm.h"
#include "lua/vm/watchdog.h"

enum {
  TURN_BYTES = 64 << 10,
  ROOM_PART = 4,
  WORTH_PART = 32,
  ASK_PART = 16,
  HARD_TIMES = 3,
  HARD_MORE_MIB = 32
};
enum { STEP_MULTIPLIER = 200 }; /* LuaJIT's own */

void cap_set(struct vm *vm, size_t bytes) {
  vm->memory.cap_bytes = vm->memory.asks_at = bytes;
  vm->use.collect_at_bytes = bytes / 2;
}

/* How far this turn may go: to the limit, or a little beyond what there was when it began. */
static size_t turn_limit(const struct vm *vm) {
  size_t cap = vm->memory.cap_bytes, most = cap + cap / ROOM_PART, wanted = vm->use.turn_bytes + TURN_BYTES;
  if (wanted > most) wanted = most;
  return wanted > cap ? wanted : cap;
}

size_t cap_for_loan(const struct vm *vm, size_t bytes) {
  size_t cap = vm->memory.cap_bytes;
  return bytes <= TURN_BYTES ? cap + cap / ROOM_PART : cap;
}

static size_t hard_limit(const struct vm *vm) {
  return vm->memory.cap_bytes * HARD_TIMES + ((size_t)HARD_MORE_MIB << 20);
}

/* Machine code that calls C again and again comes to no hook, and would collect at each step: so it is asked when it
 * has taken a good deal more. */
static bool is_time_to_ask(const struct vm *vm) {
  return !vm->use.is_beyond || vm->memory.used_bytes > vm->use.asked_bytes + vm->memory.cap_bytes / ASK_PART;
}

/* At the hook and at the next look at the collector. */
static void ask_to_heed(struct vm *vm) {
  vm->use.is_beyond = true;
  vm->use.asked_bytes = vm->memory.used_bytes;
  lua_gc(vm->L, LUA_GCSETSTEPMUL, 0); /* a cycle in one step: its last phase makes machine code leave */
  lua_gc(vm->L, LUA_GCRESTART, 0);
  if (!vm->watch.is_armed) watch_arm(vm);
}

bool cap_beyond(struct allocator *a, size_t more) {
  struct vm *vm = (struct vm *)a;
  size_t wanted = a->used_bytes + more;
  if (a->asks_at == 0 && watch_is_doomed(vm) && lost_can_land(vm)) lost_give_up(vm, LOST_TIME);
  if (vm->lost.why || !vm->depth || wanted <= turn_limit(vm)) return true; /* or the core's own few bytes */
  if (wanted > hard_limit(vm) || wanted < more) {
    if (!vm->jit_runs) return false;
    if (lost_can_land(vm)) lost_give_up(vm, LOST_MEMORY);
  }
  if (is_time_to_ask(vm)) ask_to_heed(vm);
  return true;
}

/* What is beyond the limit is kept from earlier turns: it will not go away by itself. */
static void tell_if_kept(struct vm *vm) {
  if (vm->use.turn_bytes > vm->memory.cap_bytes && vm->host.on_lost) vm->host.on_lost(&vm->host, vm->policy);
}

void cap_stop(struct vm *vm) {
  vm->memory.asks_at = vm->memory.cap_bytes;
  if (!vm->use.is_beyond) return;
  lua_gc(vm->L, LUA_GCSETSTEPMUL, STEP_MULTIPLIER);
  vm->use.is_beyond = false;
}

void cap_heed(lua_State *L) {
  struct vm *vm = vm_of(L);
  const struct allocator *a = &vm->memory;
  if (a->used_bytes <= a->cap_bytes) return;
  lua_gc(L, LUA_GCCOLLECT, 0);
  if (a->used_bytes <= a->cap_bytes - a->cap_bytes / WORTH_PART) return;
  if (vm->use.turn_bytes > a->cap_bytes && a->used_bytes <= turn_limit(vm)) return;
  vm->use.collect_at_bytes = 0;
  tell_if_kept(vm);
  handle_push_where(L, 0);
  lua_pushfstring(L, "not enough memory: the VM holds %d KiB, of at most %d (memory_limit)",
                  (int)(a->used_bytes >> 10), (int)(a->cap_bytes >> 10));
  lua_concat(L, 2);
  lua_error(L);
}

enum { MAKING = 3 }; /* a buffer that doubles, and the string */

/* (s, n, sep), strings and numbers: raises where the result would be beyond the hard limit. -3 +0 */
static int check_rep(lua_State *L) {
  const struct vm *vm = vm_of(L);
  lua_Number bytes = (lua_Number)(lua_objlen(L, 1) + lua_objlen(L, 3)) * lua_tonumber(L, 2);
  if (MAKING * bytes + (lua_Number)vm->memory.used_bytes < (lua_Number)hard_limit(vm)) return 0;
  return handle_raise(L, "not enough memory: string.rep would make %f bytes (see memory_limit)", bytes);
}

static const char rep[] = "local rep, check = ...\n"
                          "local type = type\n"
                          "function string.rep(s, n, sep)\n"
                          "  if type(s) == 'string' and type(n) == 'number' and type(sep or s) == 'string'"
                          " and (#s + (sep and #sep or 0)) * n > 1e6 then\n"
                          "    check(s, n, sep or '')\n"
                          "  end\n"
                          "  return rep(s, n, sep)\n"
                          "end\n";

void open_cap(lua_State *L) {
  push_code(L, rep);
  lua_getglobal(L, "string");
  lua_getfield(L, -1, "rep");
  lua_remove(L, -2);
  lua_pushcfunction(L, check_rep);
  lua_call(L, 2, 0);
}
