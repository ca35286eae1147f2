// SPDX-License-Identifier: Apache-2.0
// clock: perilune.time and perilune.now. In `perilune test` both stand still until a test advances them.
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <time.h>

#include "base/clock.h"
#include "base/duration.h"
#include "lua/vm/nouns.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"
#include "net/virtual_time.h"

/* perilune.now(): seconds since some start, for differences -0 +1 */
static int now(lua_State *L) {
  lua_pushnumber(L, (lua_Number)clock_now_ms(vm_of(L)->host.clock) / 1000);
  return 1;
}

/* Under virtual time: when it began, in seconds of the real one; that is the machine's time until a test says
 * another. */
static double begun;

static double real_time(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* perilune.time(): seconds since 1970, with fractions -0 +1 */
static int wall_time(lua_State *L) {
  lua_pushnumber(L, virtual_time.on ? begun + (double)virtual_time.now_ms / 1000 : real_time());
  return 1;
}

/* core.test_set_time(seconds since 1970) -1 +0 */
static int set_time(lua_State *L) {
  begun = luaL_checknumber(L, 1) - (double)virtual_time.now_ms / 1000;
  return 0;
}

/* core.duration(number or text): seconds; nil where it is no duration (base/duration.h) -1 +1 */
static int duration(lua_State *L) {
  unsigned ms;
  if (duration_at(L, 1, &ms))
    lua_pushnumber(L, (lua_Number)ms / 1000);
  else
    lua_pushnil(L);
  return 1;
}

static const luaL_Reg functions[] = {{"now", now}, {"time", wall_time}, {"duration", duration}, {NULL, NULL}};
static const luaL_Reg test_functions[] = {{"test_set_time", set_time}, {NULL, NULL}};

void open_clock(lua_State *L) {
  luaL_register(L, NULL, functions);
  lua_pushliteral(L, DURATION_WANTED);
  lua_setfield(L, -2, "duration_wanted");
  if (!virtual_time.on) return;
  begun =
      virtual_time.is_replay ? virtual_time.wall_s : floor(real_time()) - (double)virtual_time.now_ms / 1000;
  luaL_register(L, NULL, test_functions);
}
