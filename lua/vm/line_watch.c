// SPDX-License-Identifier: Apache-2.0
// line_watch: by Lua's hook, which the watchdog needs as well: whoever sets it last has it, and a turn that runs too
// long is told no lines any more.
#include "lua/vm/line_watch.h"

#include <luajit.h>
#include <stdio.h>

#include "lua/vm/handle.h"
#include "lua/vm/vm.h"

static struct {
  void (*on_line)(void *owner, const char *place);
  void *owner;
} watching;

static void on_hook(lua_State *L, lua_Debug *at) {
  const struct vm *vm = vm_of(L);
  char place[128];
  if (!watching.on_line || !lua_getinfo(L, "Sl", at) || *at->source != '@') return;
  if (handle_is_own_source(vm, at->source)) return;
  struct str path = str_of(at->source + 1);
  if (vm->directory.len && str_starts_with(path, vm->directory)) path = str_from(path, vm->directory.len);
  snprintf(place, sizeof place, "%.*s:%d", STR_ARG(path), at->currentline);
  watching.on_line(watching.owner, place);
}

void line_watch(struct vm *vm, void (*on_line)(void *owner, const char *place), void *owner) {
  watching.on_line = on_line;
  watching.owner = owner;
  if (vm->lost.why) return;
  bool watches = on_line != NULL;
  luaJIT_setmode(vm->L, 0, LUAJIT_MODE_ENGINE | (watches || vm->jit_off ? LUAJIT_MODE_OFF : LUAJIT_MODE_ON));
  if (watches) luaJIT_setmode(vm->L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_FLUSH);
  lua_sethook(vm->L, watches ? on_hook : NULL, watches ? LUA_MASKLINE : 0, 0);
}
