// SPDX-License-Identifier: Apache-2.0
// results: reads the results of hooks without allocating in Lua, since errors are not caught here.
#include "lua/vm/results.h"

#include <lauxlib.h>
#include <stdio.h>

#include "lua/vm/hook_failure.h"
#include "lua/vm/script.h"
#include "lua/vm/task.h"
#include "exchange/exchange.h"

static const char has_not_answered[] =
    "returned true, which says that it has answered; but it has not: see session:respond";

__attribute__((cold)) void result_refuse(const struct task *task, const char *why) {
  hook_failure_tell(task, "%s", why);
  task->script->x->outcome.error = ERROR_SCRIPT;
}

__attribute__((cold)) void result_refuse_type(const struct task *task, const char *wanted) {
  char why[160];
  snprintf(why, sizeof why, "expected %s as its result, got a %s value", wanted, luaL_typename(task->co, 1));
  result_refuse(task, why);
}

void result_is_answer(struct task *task) { task->script->x->outcome.answered = true; }

/* Nothing, or false: nothing is meant by it. */
static bool is_nothing(const struct task *task) {
  return lua_gettop(task->co) == 0 || !lua_toboolean(task->co, 1);
}

/* An answer is an answer, even where the hook forgot to say so: nothing good could follow. */
void result_of_filter(struct task *task) {
  if (task->script->x->answer)
    result_is_answer(task);
  else if (is_nothing(task) || task->script->x->outcome.asks_again)
    return;
  else if (lua_isboolean(task->co, 1))
    result_refuse(task, has_not_answered);
  else
    result_refuse_type(
        task, "nothing, or what session:respond gives, as in return session:respond { status = 403 },");
}

/* It is asked whether a peer may be. */
void result_of_upstream_filter(struct task *task) {
  struct exchange *x = task->script->x;
  if (x->answer)
    result_is_answer(task);
  else if (lua_isboolean(task->co, 1))
    x->outcome.refused = !lua_toboolean(task->co, 1);
  else if (!lua_isnoneornil(task->co, 1))
    result_refuse_type(task, "true, false or nothing, or what session:respond gives,");
}

void result_of_fail_to_proxy(struct task *task) {
  struct exchange *x = task->script->x;
  lua_Number status = lua_type(task->co, 1) == LUA_TNUMBER ? lua_tonumber(task->co, 1) : 0;
  if (x->answer || lua_type(task->co, 1) != LUA_TNUMBER)
    result_of_filter(task);
  else if (status >= 400 && status <= 599)
    x->outcome.status = (unsigned short)status;
  else
    result_refuse(task,
                  "expected a status from 400 to 599, what session:respond gives, or nothing as its result");
}

void result_of_silent_hook(struct task *task) {
  char why[128];
  if (is_nothing(task)) return;
  snprintf(why, sizeof why,
           "expected nothing as its result, for nothing can be answered here; got a %s value",
           luaL_typename(task->co, 1));
  result_refuse(task, why);
}
