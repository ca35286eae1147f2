// SPDX-License-Identifier: Apache-2.0
// log: perilune.log.debug, info, warn, error: lines in the proxy's own log. Arguments are joined like
// print's, by a space; nothing in them is a format, so text of a client can be logged as it is. What a policy writes is
// never throttled; what our modules say of something that may fail with each request is: core.log_about.
#include "base/log.h"

#include <lauxlib.h>
#include <lua.h>

#include "lua/vm/nouns.h"
#include "lua/vm/stack.h"
#include "lua/vm/text.h"

/* All arguments as one text. -n +1 */
static const char *join(lua_State *L) {
  int count = lua_gettop(L);
  luaL_Buffer text; /* kilobytes, and __tostring may log as well */
  stack_check(L);
  luaL_checkstack(L, LUA_MINSTACK, "too many arguments");
  luaL_buffinit(L, &text);
  for (int i = 1; i <= count; i++) {
    if (i > 1) luaL_addchar(&text, ' ');
    lua_pushcfunction(L, text_make);
    lua_pushvalue(L, i);
    lua_call(L, 1, 1);
    luaL_addvalue(&text);
  }
  luaL_pushresult(&text);
  return lua_tostring(L, -1);
}

/* -n +0 */
static int put(lua_State *L, enum log_level level) {
  if (log_is_on(level)) log_unthrottled(level, "%s", join(L));
  return 0;
}

/* -n +0 */
static int debug(lua_State *L) { return put(L, LOG_DEBUG); }
static int info(lua_State *L) { return put(L, LOG_INFO); }
static int warn(lua_State *L) { return put(L, LOG_WARN); }
static int error(lua_State *L) { return put(L, LOG_ERROR); }

static const char *const names[] = {"debug", "info", "warn", "error", NULL};

/* -1 +1 */
static int is_on(lua_State *L) {
  lua_pushboolean(L, log_is_on((enum log_level)luaL_checkoption(L, 1, NULL, names)));
  return 1;
}

/* core.log_about(level, subject, text): the further lines of a moment about the same subject are counted -3 +0 */
static int about(lua_State *L) {
  enum log_level level = (enum log_level)luaL_checkoption(L, 1, NULL, names);
  struct str subject = str_of(luaL_checkstring(L, 2));
  log_about(level, subject, "%s", luaL_checkstring(L, 3));
  return 0;
}

static const luaL_Reg functions[] = {{"debug", debug}, {"info", info},   {"warn", warn},
                                     {"error", error}, {"is_on", is_on}, {NULL, NULL}};

void open_log(lua_State *L) {
  lua_newtable(L);
  luaL_register(L, NULL, functions);
  lua_setfield(L, -2, "log");
  lua_pushcfunction(L, about);
  lua_setfield(L, -2, "log_about");
}
