// SPDX-License-Identifier: Apache-2.0
// fuzz_vm: a Lua state for the drivers whose functions want one.
#ifndef PERILUNE_SPEC_FUZZ_VM_H
#define PERILUNE_SPEC_FUZZ_VM_H

#include <lua.h>

#include "fuzz.h"
#include "lua/vm/vm.h"

/* As much of a VM as the functions use, made by the first call. `open` gets the table of the API at 1. */
static inline lua_State *fuzz_vm(void (*open)(lua_State *L)) {
  static struct vm vm;
  if (vm.L) return vm.L;
  vm.memory = (struct allocator){.cap_bytes = (size_t)1 << 30, .asks_at = (size_t)1 << 30};
  vm.L = lua_newstate(allocator_run, &vm.memory);
  REQUIRE(vm.L);
  lua_newtable(vm.L);
  open(vm.L);
  lua_settop(vm.L, 0);
  return vm.L;
}

#endif
