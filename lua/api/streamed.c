// SPDX-License-Identifier: Apache-2.0
// streamed: session:start_response, send, flush, finish and leave_open: an answer that a hook writes while the client
// reads (exchange/streamed_answer.h). The task of the hook goes on as the writer, beside the hooks that follow; its end
// is the end of the answer, unless it leaves that open. Tasks may send beside the writer: those of the exchange, of the
// background, and hooks of other exchanges. Each that waits has a place in the answer's queue (`struct beside`), which
// it loses where it is stopped; where the exchange ends first, it is woken.
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/container.h"
#include "base/memory.h"
#include "exchange/exchange.h"
#include "exchange/streamed_answer.h"
#include "http/framing.h"
#include "lua/api/fields.h"
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
  const struct streamed_answer *s = script->x->rare->streamed;
  bool is_short = s->has_length && s->left && !s->open_ms && !s->is_closed;
  if (status == TASK_FAILED && !hook_has_left(task)) {
    hook_failure_take(task, &script_hooks(x->hooks)->each[task->hook], &outcome);
  } else if (is_short) {
    hook_failure_tell(task, "it has ended, and %llu bytes of the length of its answer are missing",
                      (unsigned long long)s->left);
    outcome.error = ERROR_SCRIPT;
  }
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

/* It waits no more, and it goes on. */
static void stop_waiting(void *streamed) {
  struct streamed_answer *s = streamed;
  const struct script *script = s->owner;
  streamed_answer_stop_waiting(s, script->vm->lost.why != 0);
}

/* --- those beside it -------------------------------------------------------------------------------------- */

/* A task that waits for the client of an answer, which is not its own. */
struct beside {
  struct streamed_wait wait;
  struct task *task; /* borrowed */
};

/* What such a task has waited for, while it is not its turn yet (task->what): it was served, or the answer is over. */
static char served, over;

static void on_served(struct streamed_wait *wait, bool is_closed) {
  struct beside *beside = CONTAINER_OF(wait, struct beside, wait);
  struct task *task = beside->task;
  free(beside);
  task_wake_soon(task);
  task->what = is_closed ? &over : &served;
}

static void leave_queue(void *what) {
  struct beside *beside = what;
  streamed_wait_leave(&beside->wait, beside->task->vm->lost.why != 0);
  free(beside);
}

static struct beside *beside_new(struct task *task) {
  struct beside *beside = memory_zalloc(sizeof *beside);
  beside->task = task;
  beside->wait.wake = on_served;
  list_init(&beside->wait.link);
  return beside;
}

/* --- its functions ---------------------------------------------------------------------------------------- */

/* Who calls a function of an answer. */
struct sender {
  struct streamed_answer *answer; /* NULL: it is over, and so is its exchange */
  bool is_writer;
};

static struct streamed_answer *answer_of(const struct exchange *x) {
  return x->answer && x->answer->is_streamed ? x->rare->streamed : NULL;
}

/* -0 +0 */
static __attribute__((cold)) void refuse(lua_State *L, const char *call, const struct task *hook) {
  if (!hook)
    handle_raise(L, "%s: there is no answer to write: begin it with session:start_response { status = 200 }",
                 call);
  handle_raise(L, "%s is for the hook that has called session:start_response and for tasks, not for %s", call,
               hook_name(hook->hook));
}

/* -0 +0 */
static struct sender check(lua_State *L, const char *call) {
  const struct script *script = token_look_kind(L, 1, TOKEN_SESSION);
  if (!script) return (struct sender){NULL, false};
  const struct task *running = script->vm->running;
  struct streamed_answer *answer = answer_of(script->x);
  if (!running || !answer) refuse(L, call, NULL);
  if (script->writer == running) return (struct sender){answer, true};
  if (running->script == script && running->hook != TASK_NO_HOOK) refuse(L, call, running);
  if (!streamed_answer_is_shared(answer))
    handle_raise(L, "%s comes too early: session:start_response has not returned yet", call);
  return (struct sender){answer, false};
}

/* true, or nil and "closed" -0 +1 | -0 +2 */
static int push_state(lua_State *L, bool is_closed) {
  if (!is_closed) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushnil(L);
  lua_pushliteral(L, "closed");
  return 2;
}

/* What comes behind a wait. -0 +1 | -0 +2 */
static int settled(lua_State *L, const char *call) {
  struct task *running = vm_of(L)->running;
  void *what = running ? running->what : NULL;
  if (what == &served || what == &over) {
    running->what = NULL;
    return push_state(L, what == &over);
  }
  const struct sender sender = check(L, call);
  bool is_done = sender.is_writer && sender.answer->state == WRITER_WORKS;
  return is_done ? push_state(L, sender.answer->is_closed) : task_not_done(L, call);
}

/* A task beside the writer goes on at once. */
static int go_on(lua_State *L, bool is_over) {
  vm_of(L)->running->what = is_over ? &over : &served;
  return 0;
}

/* session:start_response { status = 200, headers = {...}, close = true }: waits until the head is on its way -2 +1 */
static int start(lua_State *L) {
  struct exchange *x = session_check(L, 1);
  session_phase(L, x, PHASES, "session:start_response");
  task_to_park(L, "session:start_response");
  session_answer(L, x, true);
  return task_wait(L, stop_waiting, streamed_answer_begin(x, &writer, x->script));
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

/* Not more than was said. -0 +0 */
static void check_room(lua_State *L, const struct streamed_answer *s, struct str text) {
  if (s->has_length && text.len > s->left)
    handle_raise(
        L,
        "session:send: the answer was begun with a length of %d bytes, of which %d are left, and the "
        "piece has %d",
        (int)s->exchange->answer->length, (int)s->left, (int)text.len);
}

/* For whoever is not the writer: puts the text, or flushes. */
static int wait_beside(lua_State *L, struct streamed_answer *s, struct str text, bool is_flush) {
  struct task *task = task_to_park(L, is_flush ? "session:flush" : "session:send");
  bool is_over = !s || s->is_closed || (s->is_finished && !is_flush);
  if (is_over) return go_on(L, true);
  struct beside *beside = beside_new(task);
  bool is_done = is_flush ? streamed_answer_flush_beside(s, &beside->wait)
                          : streamed_answer_put_beside(s, text, &beside->wait);
  if (!is_done) return task_wait(L, leave_queue, beside);
  free(beside);
  return go_on(L, false);
}

/* session:send(text): waits while the client is far behind -2 +0 (yields) */
static int put(lua_State *L) {
  const struct sender sender = check(L, "session:send");
  struct streamed_answer *s = sender.answer;
  struct str text = text_at(L, 2);
  if (s && !s->is_closed) check_room(L, s, text);
  if (!sender.is_writer) return wait_beside(L, s, text, false);
  if (s->is_finished && !s->is_closed)
    handle_raise(L, "session:send: the answer has been ended by session:finish");
  task_to_park(L, "session:send");
  return streamed_answer_put(s, text) ? 0 : task_wait(L, stop_waiting, s);
}
static int was_put(lua_State *L) { return settled(L, "session:send"); }

/* session:flush(): waits until the connection has taken all that was sent -1 +0 (yields) */
static int flush(lua_State *L) {
  const struct sender sender = check(L, "session:flush");
  if (!sender.is_writer) return wait_beside(L, sender.answer, (struct str){0}, true);
  task_to_park(L, "session:flush");
  return streamed_answer_flush(sender.answer) ? 0 : task_wait(L, stop_waiting, sender.answer);
}
static int flushed(lua_State *L) { return settled(L, "session:flush"); }

/* --- its end ---------------------------------------------------------------------------------------------- */

enum { TRAILERS_MOST = 100, OPEN_DEFAULT_S = 60, OPEN_MOST_S = 86400 };

/* Not every field may come behind a body (RFC 9110 section 6.5.1). The name is below the value. -0 +0 */
static void read_trailer(lua_State *L, struct headers *trailers) {
  int top = lua_gettop(L);
  struct field field = {.name = {NULL, 0}};
  if (lua_type(L, top - 1) != LUA_TSTRING)
    handle_raise(L, "session:finish: trailers must be a table of names and values");
  field.name = text_at(L, top - 1);
  field.id = field_id(field.name);
  if (!framing_trailer_is_allowed(&field, NULL))
    handle_raise(L, "session:finish: the field %s may not stand in trailers", field.name.ptr);
  fields_append(L, trailers, top - 1, top);
  if (trailers->count > TRAILERS_MOST)
    handle_raise(L, "session:finish: more than %d trailers", TRAILERS_MOST);
}

/* { name = value or array } at 2; NULL: there are none. -0 +0 */
static struct headers *read_trailers(lua_State *L, struct exchange *x) {
  if (lua_isnoneornil(L, 2)) return NULL;
  luaL_checktype(L, 2, LUA_TTABLE);
  struct headers *trailers = arena_alloc(&x->arena, sizeof *trailers);
  size_t bytes = sizeof *trailers;
  headers_init(trailers, &x->arena);
  for (lua_pushnil(L); lua_next(L, 2); lua_pop(L, 1)) read_trailer(L, trailers);
  for (unsigned i = 0; i < trailers->count; i++)
    bytes += sizeof(struct field) + trailers->items[i].name.len + trailers->items[i].value.len;
  script_lend(L, x->script, bytes);
  return trailers->count ? trailers : NULL;
}

/* session:finish([trailers]): the answer has its end, and the hook goes on -2 +1 */
static int finish(lua_State *L) {
  struct streamed_answer *s = check(L, "session:finish").answer;
  if (!s || s->is_closed) return push_state(L, true);
  if (s->has_length && s->left)
    handle_raise(L, "session:finish: %d bytes of the length that the answer was begun with are missing",
                 (int)s->left);
  if (s->is_finished && lua_toboolean(L, 2))
    handle_raise(L, "session:finish: the answer has been ended before, without these trailers");
  streamed_answer_finish(s, read_trailers(L, s->exchange));
  return push_state(L, false);
}

/* session:leave_open([seconds]): the end of the hook is not the end of its answer -2 +1 */
static int leave_open(lua_State *L) {
  struct streamed_answer *s = check(L, "session:leave_open").answer;
  lua_Number seconds = luaL_optnumber(L, 2, OPEN_DEFAULT_S);
  if (!(seconds >= 0.001 && seconds <= OPEN_MOST_S))
    handle_raise(L, "session:leave_open: the seconds without a piece must be from 0.001 to %d", OPEN_MOST_S);
  if (!s || s->is_closed) return push_state(L, true);
  streamed_answer_leave_open(s, (unsigned)(seconds * 1000 + 0.5));
  return push_state(L, false);
}

/* --- without session:start_response ----------------------------------------------------------------------- */

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
  return task_wait(L, stop_waiting, streamed_answer_begin(x, &writer, x->script));
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
  static const luaL_Reg methods[] = {{"finish", finish}, {"leave_open", leave_open}, {NULL, NULL}};
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
