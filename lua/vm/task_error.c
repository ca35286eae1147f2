// SPDX-License-Identifier: Apache-2.0
// task_error: what a failed task raised, as text. Its coroutine is read in protected mode, on the main state, for the
// value may have a __tostring that fails, and the text needs memory.
#include <lauxlib.h>
#include <stdlib.h>

#include "base/log.h"
#include "lua/vm/task.h"
#include "lua/vm/vm.h"

struct error_reading {
  struct task *task;
  struct task_error error;
  bool with_traceback;
};

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
  lua_pushfstring(L, "(the error is a %s value)", luaL_typename(L, -1));
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
  return status >= 400 && status <= 599 ? (unsigned short)status : 0;
}

/* -1 +0 */
static int read_error(lua_State *L) {
  struct error_reading *reading = lua_touserdata(L, 1);
  struct task *task = reading->task;
  reading->error.status = error_status(L, task);
  push_message(L, task);
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

void task_log_error(struct task *task, const char *doing) {
  struct task_error error = task_error(task, true);
  log_text_about(LOG_ERROR, str_of(task->place ? task->place : doing), "%s failed: %s", doing, error.text);
  free(error.text);
}
