// SPDX-License-Identifier: Apache-2.0
// current: perilune.current(): the exchange that the running code works for, for functions that are not given it: the
// libraries of lua/perilune/ngx, a log function. It costs nothing where nobody asks.
#include <lauxlib.h>
#include <lua.h>

#include "exchange/exchange.h"
#include "lua/vm/ctx.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/script.h"
#include "lua/vm/task.h"
#include "lua/vm/token.h"
#include "lua/vm/vm.h"

/* NULL: background work, the main chunk, or the certificate hook. */
static struct script *running_for(lua_State *L) {
  const struct task *running = vm_of(L)->running;
  struct script *script = running && !vm_of(L)->loading ? running->script : NULL;
  return script && script->is_seated ? script : NULL;
}

/* core.current(): the session, its ctx, and the hook that runs (nil in a task that a hook has spawned); nil -0 +3 */
static int current(lua_State *L) {
  struct script *script = running_for(L);
  if (!script) return push_nil(L);
  const struct task *running = vm_of(L)->running;
  token_push(L, script, TOKEN_SESSION);
  ctx_push(L, script);
  if (running->hook == TASK_NO_HOOK)
    lua_pushnil(L);
  else
    lua_pushstring(L, hook_name(running->hook));
  return 3;
}

/* core.current_session(): the session alone; nil -0 +1 */
static int current_session(lua_State *L) {
  struct script *script = running_for(L);
  if (!script) return push_nil(L);
  token_push(L, script, TOKEN_SESSION);
  return 1;
}

/* core.current_response(): the response of the exchange; nil where there is no head of one yet -0 +1 */
static int current_response(lua_State *L) {
  struct script *script = running_for(L);
  if (!script || !script->x->response.status) return push_nil(L);
  token_push(L, script, TOKEN_RESPONSE);
  return 1;
}

/* core.current_task(): a value that stands for the running task, until that ends; nil -0 +1 */
static int current_task(lua_State *L) {
  struct task *running = vm_of(L)->running;
  if (!running || vm_of(L)->loading) return push_nil(L);
  lua_pushlightuserdata(L, running);
  return 1;
}

static const luaL_Reg functions[] = {{"current", current},
                                     {"current_session", current_session},
                                     {"current_response", current_response},
                                     {"current_task", current_task},
                                     {NULL, NULL}};

void open_current(lua_State *L) { luaL_register(L, NULL, functions); }
