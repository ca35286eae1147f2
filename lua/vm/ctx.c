// SPDX-License-Identifier: Apache-2.0
// ctx: each exchange gets a new table, since a policy may keep the old one; places in the registry are reused. A
// place without a table has false, because luaL_ref could use a place with nil.
#include "lua/vm/ctx.h"

#include <lauxlib.h>

#include "base/memory.h"
#include "lua/vm/script.h"
#include "lua/vm/vm.h"

enum {
  BATCH = 32,
  KEYS = 4 /* a table that grows with each of its first keys costs more than the rest of a hook */
};

/* -0 +0 */
static void add_places(lua_State *L, struct ctx_supply *supply) {
  supply->room += BATCH;
  supply->places = memory_realloc(supply->places, supply->room * sizeof *supply->places);
  for (int i = 0; i < BATCH; i++) {
    lua_pushboolean(L, 0);
    supply->places[supply->count] = luaL_ref(L, LUA_REGISTRYINDEX);
    supply->count++;
  }
}

/* -0 +0 */
static void make_fresh(lua_State *L, struct ctx_supply *supply) {
  if (supply->count == 0) add_places(L, supply);
  for (int i = 0; i < BATCH && supply->fresh < supply->count; i++) {
    lua_createtable(L, 0, KEYS);
    lua_rawseti(L, LUA_REGISTRYINDEX, supply->places[supply->fresh]);
    supply->fresh++;
  }
}

/* The place of a fresh one. */
static int take(struct ctx_supply *supply) {
  int place = supply->places[--supply->fresh];
  supply->places[supply->fresh] = supply->places[--supply->count];
  return place;
}

bool ctx_is_ready(const struct script *script) { return script->ctx || script->vm->ctx_supply.fresh; }

void ctx_push(lua_State *L, struct script *script) {
  struct ctx_supply *supply = &script->vm->ctx_supply;
  if (!script->ctx) {
    if (supply->fresh == 0) make_fresh(L, supply);
    script->ctx = take(supply);
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, script->ctx);
}

void ctx_drop(struct script *script) {
  struct vm *vm = script->vm;
  if (!script->ctx) return;
  lua_pushboolean(vm->L, 0);
  lua_rawseti(vm->L, LUA_REGISTRYINDEX, script->ctx);
  vm->ctx_supply.places[vm->ctx_supply.count++] = script->ctx;
  script->ctx = 0;
}
