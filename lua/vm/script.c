// SPDX-License-Identifier: Apache-2.0
// script: Lua's allocator does not see memory that hooks use in the arenas of exchanges, so it is counted here.
#include "lua/vm/script.h"

#include <stdio.h>

#include "lua/vm/cap.h"
#include "lua/vm/handle.h"
#include "lua/vm/task.h"
#include "lua/vm/vm.h"

static __attribute__((cold)) void refuse_loan(lua_State *L, const struct vm *vm) {
  handle_raise(
      L,
      "not enough memory: the exchanges under way hold %d MiB of fields, targets and answers, the VM %d MiB",
      (int)(vm->use.lent_bytes >> 20), (int)(vm->memory.used_bytes >> 20));
}

void script_lend(lua_State *L, struct script *script, size_t bytes) {
  struct vm *vm = script->vm;
  size_t taken = vm->memory.used_bytes + vm->use.lent_bytes, most = cap_for_loan(vm, bytes);
  if (bytes > most || taken > most - bytes) refuse_loan(L, vm);
  script->lent_bytes += bytes;
  vm->use.lent_bytes += bytes;
}

const char *script_place(const struct task *task) {
  static _Thread_local char text[256];
  snprintf(text, sizeof text, "%s (%s)", task->place, hook_name(task->hook));
  return text;
}
