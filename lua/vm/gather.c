// SPDX-License-Identifier: Apache-2.0
// gather: see gather.h.
#include "lua/vm/gather.h"

#include <lauxlib.h>

#include "base/number.h"
#include "lua/vm/handle.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"

enum { PART_COST = 16 /* as much as a value of an array takes, and more */, DEPTH_MOST = 16 };

struct gather gather_begin(lua_State *L, struct buf *out) {
  return (struct gather){out, vm_of(L)->memory.cap_bytes, PART_COST, false};
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

static bool gather_at(lua_State *L, int index, struct gather *g, const char *call, int depth);

static bool gather_number(struct gather *g, lua_Number number) {
  char text[NUMBER_TEXT];
  return gather_text(g, (struct str){text, number_text(number, text)});
}

static bool gather_other(lua_State *L, int index, struct gather *g, const char *call) {
  if (!g->takes_all)
    handle_raise(L, "%s: expected a string, a number or an array of them, got %s", call,
                 luaL_typename(L, index));
  lua_pushcfunction(L, text_make);
  lua_pushvalue(L, index);
  lua_call(L, 1, 1);
  bool has_room = gather_text(g, text_of(L, -1));
  lua_pop(L, 1);
  return has_room;
}

static bool gather_array(lua_State *L, int index, struct gather *g, const char *call, int depth) {
  if (depth == DEPTH_MOST)
    handle_raise(L, "%s: expected a string, a number or an array of them, got arrays in arrays too deep",
                 call);
  bool has_room = gather_text(g, (struct str){0}); /* the array itself, for the work with it */
  luaL_checkstack(L, 4, call);
  for (int i = 1, count = (int)lua_objlen(L, index), top = lua_gettop(L) + 1; i <= count && has_room; i++) {
    lua_rawgeti(L, index, i);
    has_room = gather_at(L, top, g, call, depth + 1);
    lua_pop(L, 1);
  }
  return has_room;
}

static bool gather_at(lua_State *L, int index, struct gather *g, const char *call, int depth) {
  struct str text;
  switch (lua_type(L, index)) {
  case LUA_TSTRING: text.ptr = lua_tolstring(L, index, &text.len); return gather_text(g, text);
  case LUA_TNUMBER: return gather_number(g, lua_tonumber(L, index));
  case LUA_TTABLE: return gather_array(L, index, g, call, depth);
  default: return gather_other(L, index, g, call);
  }
}

bool gather_value(lua_State *L, int index, struct gather *g, const char *call) {
  return gather_at(L, index, g, call, 0);
}
