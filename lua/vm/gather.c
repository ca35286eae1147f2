// SPDX-License-Identifier: Apache-2.0
// gather: see gather.h.
#include "lua/vm/gather.h"

#include <lauxlib.h>

#include "lua/vm/handle.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"

enum { PART_COST = 16 /* as much as a value of an array takes, and more */, DEPTH_MOST = 16 };

struct gather gather_begin(lua_State *L, struct buf *out) {
  return (struct gather){out, vm_of(L)->memory.cap_bytes, PART_COST};
}

bool gather_text(struct gather *g, struct str text) {
  if (g->left < g->part_cost || text.len > g->left - g->part_cost) {
    buf_release(g->out);
    return false;
  }
  g->left -= g->part_cost + text.len;
  if (text.len) buf_append_str(g->out, text);
  return true;
}

static bool gather_at(lua_State *L, int index, struct gather *g, const char *call, int depth) {
  if (lua_isstring(L, index)) {
    lua_pushvalue(L, index); /* a number becomes a string in place */
    bool has_room = gather_text(g, text_of(L, -1));
    lua_pop(L, 1);
    return has_room;
  }
  if (!lua_istable(L, index) || depth == DEPTH_MOST)
    handle_raise(L, "%s: expected a string, a number or an array of them, got %s", call,
                 depth == DEPTH_MOST ? "arrays in arrays too deep" : luaL_typename(L, index));
  bool has_room = gather_text(g, (struct str){0}); /* the array itself, for the work with it */
  luaL_checkstack(L, 3, call);
  for (int i = 1, count = (int)lua_objlen(L, index); i <= count && has_room; i++) {
    lua_rawgeti(L, index, i);
    has_room = gather_at(L, lua_gettop(L), g, call, depth + 1);
    lua_pop(L, 1);
  }
  return has_room;
}

bool gather_value(lua_State *L, int index, struct gather *g, const char *call) {
  return gather_at(L, index, g, call, 0);
}
