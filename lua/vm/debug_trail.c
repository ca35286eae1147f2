// SPDX-License-Identifier: Apache-2.0
// debug_trail: a table in the registry with weak keys leads from a coroutine to its trail. Frames are known by their
// place in the coroutine's stack: those above have higher numbers.
#include "lua/vm/debug_trail.h"

#include <lauxlib.h>
#include <stddef.h>

enum { FRAMES_MOST = 200 };

/* Frames beyond the most are not kept: each of their lines is a new one. */
struct trail {
  unsigned count;
  struct trail_frame {
    int frame, line;
  } frames[FRAMES_MOST];
};

static char trails; /* its address is the key in the registry */

/* The table; made at the first call. -0 +1 */
static void push_trails(lua_State *L) {
  lua_pushlightuserdata(L, &trails);
  lua_rawget(L, LUA_REGISTRYINDEX);
  if (!lua_isnil(L, -1)) return;
  lua_pop(L, 1);
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "k");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
  lua_pushlightuserdata(L, &trails);
  lua_pushvalue(L, -2);
  lua_rawset(L, LUA_REGISTRYINDEX);
}

/* Of this coroutine; it lives as long as that. -0 +0 */
static struct trail *trail_of(lua_State *L) {
  push_trails(L);
  lua_pushthread(L);
  lua_rawget(L, -2);
  struct trail *trail = lua_touserdata(L, -1);
  if (!trail) {
    lua_pushthread(L);
    trail = lua_newuserdata(L, sizeof *trail);
    trail->count = 0;
    lua_rawset(L, -4);
  }
  lua_pop(L, 2);
  return trail;
}

static void cut(struct trail *trail, int frame) {
  while (trail->count && trail->frames[trail->count - 1].frame >= frame) trail->count--;
}

void trail_call(lua_State *L, int frame) { cut(trail_of(L), frame); }

bool trail_line(lua_State *L, int frame, int line) {
  struct trail *trail = trail_of(L);
  cut(trail, frame + 1);
  struct trail_frame *last = trail->count ? &trail->frames[trail->count - 1] : NULL;
  if (last && last->frame == frame) {
    bool is_new = last->line != line;
    last->line = line;
    return is_new;
  }
  if (trail->count < FRAMES_MOST) trail->frames[trail->count++] = (struct trail_frame){frame, line};
  return true;
}
