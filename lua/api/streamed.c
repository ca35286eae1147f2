// SPDX-License-Identifier: Apache-2.0
// streamed: session:start_response, send, flush and finish: an answer that a hook writes while the client reads
// (exchange/streamed_answer.h). The task of the hook goes on as the writer, beside the hooks that follow; its end is
// the end of the answer.
#include <lauxlib.h>
#include <lua.h>

#include "base/check.h"
#include "exchange/exchange.h"
#include "exchange/streamed_answer.h"
#include "lua/api/session.h"
#include "lua/vm/handle.h"
#include "lua/vm/hook_failure.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/script.h"
#include "lua/vm/task.h"
#include "lua/vm/text.h"
#include "lua/vm/token.h"
#include "lua/vm/vm.h"

#define PHASES                                                                                               \
  (PHASE(early_request_filter) | PHASE(request_filter) | PHASE(proxy_upstream_filter) |                      \
   PHASE(upstream_peer) | PHASE(fail_to_connect) | PHASE(connected_to_upstream) |                            \
   PHASE(upstream_request_filter) | PHASE(upstream_response_filter) | PHASE(response_filter) |               \
   PHASE(error_while_proxy) | PHASE(fail_to_proxy))

/* --- the writer ------------------------------------------------------------------------------------------- */

static void on_writer_end(struct task *task, enum task_status status) {
  struct script *script = task->script;
  struct exchange *x = script->x;
  struct hook_outcome outcome = {0};
  script->writer = NULL;
  if (status == TASK_FAILED && !hook_has_left(task))
    hook_failure_take(task, &script_hooks(x->hooks)->each[task->hook], &outcome);
  task_free(task);
  streamed_answer_over(x->rare->streamed, outcome.error);
}

/* The hook that waits is over. */
static void leave(void *owner) {
  struct script *script = owner;
  CHECK(script->task && !script->writer);
  script->writer = script->task;
  script->task = NULL;
  script->writer->on_end = on_writer_end;
  script->x->outcome.answered = true;
  exchange_wake(script->x);
}

static void wake(void *owner) { task_wake(((struct script *)owner)->writer); }

static void end(void *owner) {
  struct script *script = owner;
  struct task *task = script->writer;
  script->writer = NULL;
  if (task) task_free(task);
}

static const struct streamed_writer writer = {leave, wake, end};

static void forget(void *streamed) { streamed_answer_forget(streamed); }

/* --- its functions ---------------------------------------------------------------------------------------- */

/* The answer that the running hook writes. -0 +0 */
static struct streamed_answer *check(lua_State *L, const char *call) {
  const struct exchange *x = session_check(L, 1);
  const struct script *script = x->script;
  if (!script->writer)
    handle_raise(L, "%s: there is no answer to write: begin it with session:start_response { status = 200 }",
                 call);
  if (script->vm->running != script->writer)
    handle_raise(L, "%s is for the hook that has called session:start_response, not for %s", call,
                 script->vm->running->hook == TASK_NO_HOOK ? "tasks beside it" : "another one");
  return x->rare->streamed;
}

/* true, or nil and "closed" -0 +1 | -0 +2 */
static int push_state(lua_State *L, const struct streamed_answer *s) {
  if (!s->is_closed) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushnil(L);
  lua_pushliteral(L, "closed");
  return 2;
}

/* What comes behind a wait. -0 +1 | -0 +2 */
static int settled(lua_State *L, const char *call) {
  const struct streamed_answer *s = check(L, call);
  return s->state == WRITER_WORKS ? push_state(L, s) : task_not_done(L, call);
}

/* session:start_response { status = 200, headers = {...}, close = true }: waits until the head is on its way -2 +1 */
static int start(lua_State *L) {
  struct exchange *x = session_check(L, 1);
  session_phase(L, x, PHASES, "session:start_response");
  task_to_park(L, "session:start_response");
  session_answer(L, x, true);
  return task_wait(L, forget, streamed_answer_begin(x, &writer, x->script));
}
static int started(lua_State *L) { return settled(L, "session:start_response"); }

/* -0 +0 */
static void refuse_piece(lua_State *L, int index) {
  handle_raise(L, "session:send: expected a string, a number or an array of them, got a %s value",
               luaL_typename(L, index));
}

/* piece(value): the text of what session:send is given -1 +1 */
static int piece(lua_State *L) {
  luaL_Buffer all;
  if (lua_type(L, 1) == LUA_TSTRING) return 1;
  if (lua_type(L, 1) == LUA_TNUMBER) return push_text(L, text_at(L, 1));
  if (!lua_istable(L, 1)) refuse_piece(L, 1);
  luaL_buffinit(L, &all);
  for (int i = 1, count = (int)lua_objlen(L, 1); i <= count; i++) {
    lua_rawgeti(L, 1, i);
    if (!lua_isstring(L, -1)) refuse_piece(L, -1);
    luaL_addvalue(&all);
  }
  luaL_pushresult(&all);
  return 1;
}

/* session:send(text): waits while the client is far behind -2 +0 (yields) */
static int put(lua_State *L) {
  struct streamed_answer *s = check(L, "session:send");
  if (s->is_finished) handle_raise(L, "session:send: the answer has been ended by session:finish");
  task_to_park(L, "session:send");
  return streamed_answer_put(s, text_at(L, 2)) ? 0 : task_wait(L, forget, s);
}
static int was_put(lua_State *L) { return settled(L, "session:send"); }

/* session:flush(): waits until the connection has taken all that was sent -1 +0 (yields) */
static int flush(lua_State *L) {
  struct streamed_answer *s = check(L, "session:flush");
  task_to_park(L, "session:flush");
  return streamed_answer_flush(s) ? 0 : task_wait(L, forget, s);
}
static int flushed(lua_State *L) { return settled(L, "session:flush"); }

/* session:finish(): the answer has its end, and the hook goes on -1 +1 */
static int finish(lua_State *L) {
  struct streamed_answer *s = check(L, "session:finish");
  streamed_answer_finish(s);
  return push_state(L, s);
}

/* Can the running code begin to send the answer, of which there may be a part already? */
static bool may_begin(lua_State *L, const struct exchange *x) {
  const struct script *script = x->script;
  const struct task *running = script->vm->running;
  bool is_hook =
      running && running->script == script && running->hook != TASK_NO_HOOK && PHASES & 1u << running->hook;
  unsigned status = x->answer ? x->answer->response.status : 200;
  return is_hook && exchange_can_answer(x) && !x->is_shadow && x->request.method != METHOD_HEAD &&
         status != 204 && status != 304 && !(x->answer && x->answer->resets) && lua_isyieldable(L);
}

/* core.answer_begin(session): sends what was said so far by core.answer_add, and the rest comes by session:send. False:
 * not here, or there is nobody to read it -1 +1 (yields) */
static int begin_answer(lua_State *L) {
  struct exchange *x = session_check(L, 1);
  if (!may_begin(L, x)) return 0;
  task_to_park(L, "ngx.flush");
  if (!x->answer) exchange_answer(x, 200)->response.reason = status_reason(200);
  return task_wait(L, forget, streamed_answer_begin(x, &writer, x->script));
}
static int begun_answer(lua_State *L) {
  const struct exchange *x = session_check(L, 1);
  const struct script *script = x->script;
  if (!script->writer || script->writer != script->vm->running) {
    lua_pushboolean(L, 0);
    return 1;
  }
  lua_pushlstring(L, x->answer->content.ptr ? x->answer->content.ptr : "", x->answer->content.len);
  return 1;
}

/* What is sent stays on the stack of the function that waits. */
static const char send[] = "local piece, start, finish = ...\n"
                           "return function(self, value)\n"
                           "  value = piece(value)\n"
                           "  start(self, value)\n"
                           "  return finish(self)\n"
                           "end\n";

void open_streamed(lua_State *L) {
  static const luaL_Reg methods[] = {{"finish", finish}, {NULL, NULL}};
  token_add_methods(L, methods);
  token_add_waiting(L, "start_response", start, started);
  token_add_waiting(L, "flush", flush, flushed);
  handle_push_waiting(L, begin_answer, begun_answer);
  lua_setfield(L, -2, "answer_begin");
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm_of(L)->token_methods);
  push_code(L, send);
  lua_pushcfunction(L, piece);
  lua_pushcfunction(L, put);
  lua_pushcfunction(L, was_put);
  lua_call(L, 3, 1);
  lua_setfield(L, -2, "send");
  lua_pop(L, 1);
}
