// SPDX-License-Identifier: Apache-2.0
// task_error: the error of a failed task as text. Its coroutine is read in protected mode, on the main state, since
// the value may have a __tostring that fails, and the text needs memory.
#include <lauxlib.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "lua/vm/handle.h"
#include "lua/vm/push.h"
#include "lua/vm/task.h"
#include "lua/vm/vm.h"

struct error_reading {
  struct task *task;
  struct task_error error;
  bool with_traceback;
};

/* --- a table as an error. -------------------------------------------------------------------------------- */

enum { FIELDS_MOST = 12, VALUE_MOST = 100 };

struct text {
  char room[FIELDS_MOST * (2 * VALUE_MOST + 32)];
  size_t length;
};

static __attribute__((format(printf, 2, 3))) void put(struct text *text, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int length = vsnprintf(text->room + text->length, sizeof text->room - text->length, format, arguments);
  va_end(arguments);
  text->length += (size_t)length;
  if (text->length >= sizeof text->room) text->length = sizeof text->room - 1;
}

/* Strings are cut, and what else has a content is not opened. -0 +0 */
static void put_value(struct text *text, lua_State *L, int index) {
  switch (lua_type(L, index)) {
  case LUA_TSTRING: put(text, "\"%.*s\"", VALUE_MOST, lua_tostring(L, index)); break;
  case LUA_TNUMBER: put(text, "%.14g", lua_tonumber(L, index)); break;
  case LUA_TBOOLEAN: put(text, "%s", lua_toboolean(L, index) ? "true" : "false"); break;
  case LUA_TTABLE: put(text, "{...}"); break;
  default: put(text, "(%s)", luaL_typename(L, index)); break;
  }
}

/* Of a position nothing but the value, as one would write it. -0 +0 */
static void put_key(struct text *text, lua_State *L, int index) {
  if (lua_type(L, index) == LUA_TNUMBER) return;
  if (lua_type(L, index) == LUA_TSTRING)
    put(text, "%.*s", VALUE_MOST, lua_tostring(L, index));
  else
    put_value(text, L, index);
  put(text, " = ");
}

static bool is_status(lua_Integer status) { return status >= 400 && status <= 599; }

/* Of the table on top, where it has a status that cannot be one. -0 +0 */
static void put_status_hint(struct text *text, lua_State *L) {
  lua_pushliteral(L, "status");
  lua_rawget(L, -2);
  if (!lua_isnil(L, -1) && !is_status(lua_tointeger(L, -1)))
    put(text, ": its status must be a whole number from 400 to 599; to answer otherwise, write "
              "return session:respond { status = ... }");
  lua_pop(L, 1);
}

/* The table on top as "{ code = 3, "x" }": the first fields in Lua's order, without metamethods. -0 +1 */
static void push_table(lua_State *L) {
  struct text text = {.length = 0};
  int count = 0;
  put(&text, "(the error is a table) {");
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    put(&text, count ? ", " : " ");
    if (++count > FIELDS_MOST) break;
    put_key(&text, L, -2);
    put_value(&text, L, -1);
  }
  if (count > FIELDS_MOST) {
    put(&text, "...");
    lua_pop(L, 2);
  }
  put(&text, " }");
  put_status_hint(&text, L);
  lua_pushlstring(L, text.room, text.length);
}

/* --- the error ------------------------------------------------------------------------------------------ */

/* Pushes the text of the value on top of the task's stack. -0 +1 */
static void push_message(lua_State *L, struct task *task) {
  if (task->strayed) {
    lua_pushliteral(L, "coroutine.yield was called outside of a coroutine of the policy");
    return;
  }
  if (task->starved) {
    lua_pushliteral(L, "not enough memory");
    return;
  }
  if (task->overran && (lua_gettop(task->co) == 0 || !lua_isstring(task->co, -1))) {
    lua_pushliteral(L, "used up its time");
    return;
  }
  lua_pushvalue(task->co, -1);
  lua_xmove(task->co, L, 1);
  if (luaL_callmeta(L, -1, "__tostring") && lua_isstring(L, -1)) return;
  if (lua_isstring(L, -1)) return;
  if (lua_istable(L, -1)) {
    push_table(L);
    return;
  }
  lua_pushfstring(L, "(the error is a %s value)", luaL_typename(L, -1));
}

/* Has the message on top of the stack words of LuaJIT's own? Then it may get a hint. -0 +0 */
static bool is_luajits(lua_State *L) {
  static const char *const words[] = {"attempt to ", "bad argument",           "bad self",
                                      " near '",     "previous error loading", "invalid escape"};
  const char *text = lua_tostring(L, -1);
  for (size_t i = 0; text && i < sizeof words / sizeof *words; i++)
    if (strstr(text, words[i])) return true;
  return false;
}

/* Puts behind it what to write instead (lua/perilune/hints.lua). -1 +1 */
static void add_hint(lua_State *L) {
  push_function(L, "perilune.hints", "add");
  lua_insert(L, -2);
  lua_call(L, 1, 1);
}

/* The status of an error table {status = N}. */
static unsigned short error_status(lua_State *L, struct task *task) {
  if (task->strayed || task->overran || task->starved || !lua_istable(task->co, -1)) return 0;
  lua_pushvalue(task->co, -1);
  lua_xmove(task->co, L, 1);
  lua_pushliteral(L, "status");
  lua_rawget(L, -2);
  lua_Integer status = lua_tointeger(L, -1);
  lua_pop(L, 2);
  return is_status(status) ? (unsigned short)status : 0;
}

/* -1 +0 */
static int read_error(lua_State *L) {
  struct error_reading *reading = lua_touserdata(L, 1);
  struct task *task = reading->task;
  reading->error.status = error_status(L, task);
  push_message(L, task);
  if (is_luajits(L)) add_hint(L);
  if (reading->with_traceback) luaL_traceback(L, task->co, lua_tostring(L, -1), 0);
  reading->error.text = str_to_cstring(str_of(lua_tostring(L, -1)));
  return 0;
}

/* A coroutine that failed for memory, or whose Lua state was given up, may be in no state to be looked at. */
struct task_error task_error(struct task *task, bool with_traceback) {
  struct error_reading reading = {task, {NULL, 0}, with_traceback && !task->starved};
  char *why = task_protect(task->vm, read_error, &reading);
  if (why) reading.error.text = why;
  return reading.error;
}

/* A port, as in "127.0.0.1:80: ", is no line. */
bool task_error_has_place(const char *text) {
  for (const char *at = text; *at && *at != '\n'; at++) {
    size_t digits = *at == ':' ? strspn(at + 1, "0123456789") : 0;
    if (digits && strncmp(at + 1 + digits, ": ", 2) == 0 && at > text && !(at[-1] >= '0' && at[-1] <= '9'))
      return true;
  }
  return false;
}

bool task_error_place(struct task *task, char *room, size_t bytes) {
  lua_Debug frame;
  for (int level = 0; !task->starved && lua_getstack(task->co, level, &frame); level++) {
    if (!lua_getinfo(task->co, "Sl", &frame) || frame.currentline <= 0) continue;
    if (handle_is_own_source(task->vm, frame.source)) continue;
    snprintf(room, bytes, "%s:%d", frame.short_src, frame.currentline);
    return true;
  }
  return false;
}

void task_log_error(struct task *task, const char *doing) {
  struct task_error error = task_error(task, true);
  bool is_known = task->place && strcmp(task->place, doing) != 0;
  const char *place = is_known && !task_error_has_place(error.text) ? task->place : "";
  log_text_about(LOG_ERROR, str_of(task->place ? task->place : doing), "%s failed: %s%s%s", doing, place,
                 *place ? ": " : "", error.text);
  free(error.text);
}
