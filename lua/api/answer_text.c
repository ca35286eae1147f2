// SPDX-License-Identifier: Apache-2.0
// answer_text: parts of a response that are said before it is known: fields of whichever response the client will get,
// and an answer whose text comes piece by piece. The text has room to grow, so that many pieces cost no more than one.
#include <lauxlib.h>
#include <lua.h>

#include "exchange/exchange.h"
#include "http/message.h"
#include "lua/api/fields.h"
#include "lua/api/session.h"
#include "lua/vm/nouns.h"
#include "lua/vm/script.h"
#include "lua/vm/task.h"
#include "lua/vm/vm.h"
#include "lua/vm/text.h"

enum { ROOM_LEAST = 512 };

#define PHASES (~(PHASE(answer_filter) | PHASE(logging) | BODY_PHASES))

/* Is it a task that the hook has spawned which waits, or which runs below it? What that says is the hook's. */
static bool is_of_the_hook(const struct exchange *x) {
  const struct script *script = x->script;
  const struct task *running = script->vm->running;
  bool is_spawned = running && running->script == script && running->hook == TASK_NO_HOOK;
  bool is_in_hook = x->hook_state == HOOK_WAITING || script->vm->depth > 1;
  return is_spawned && is_in_hook && (PHASES & 1u << x->hook);
}

/* The exchange of argument 1, which has sent nothing so far. -0 +0 */
static struct exchange *check(lua_State *L, const char *call) {
  struct exchange *x = session_check(L, 1);
  if (!is_of_the_hook(x)) session_phase(L, x, PHASES, call);
  if (!exchange_can_answer(x)) luaL_error(L, "%s comes too late: the response has begun", call);
  return x;
}

/* How much the fields behind `from` take. */
static size_t bytes_of(const struct headers *headers, unsigned from) {
  size_t bytes = 0;
  for (unsigned i = from; i < headers->count; i++)
    bytes += sizeof(struct field) + headers->items[i].name.len + headers->items[i].value.len;
  return bytes;
}

/* Raises if it is no valid field, before the existing one is removed. -0 +0 */
static void check_field(lua_State *L) {
  lua_pushcfunction(L, fields_check);
  lua_pushvalue(L, 2);
  lua_pushvalue(L, 3);
  lua_call(L, 2, 0);
}

/* session:set_response_header(name, value): of whichever final response the client gets; nil: none any more -3 +0 */
int session_set_response_header(lua_State *L) {
  struct exchange *x = check(L, "session:set_response_header");
  struct script *script = x->script;
  struct headers *promised = script->promised;
  if (!promised) {
    promised = script->promised = arena_zalloc(&x->arena, sizeof *promised);
    headers_init(promised, &x->arena);
    x->sent.promised = true;
  }
  if (!lua_isnoneornil(L, 3)) check_field(L);
  headers_remove(promised, text_at(L, 2));
  unsigned before = promised->count;
  if (!lua_isnoneornil(L, 3)) fields_append(L, promised, 2, 3);
  script_lend(L, x->script, bytes_of(promised, before));
  return 0;
}

/* core.answer_add(session, text): to the answer that there is so far, or the beginning of one with status 200 -2 +0 */
static int answer_add(lua_State *L) {
  struct exchange *x = check(L, "ngx.say");
  struct str text = text_at(L, 2);
  struct answer *answer = x->answer ? x->answer : exchange_answer(x, 200);
  size_t room = answer->room, wanted = answer->content.len + text.len;
  if (wanted > room) {
    room = wanted * 2 > ROOM_LEAST ? wanted * 2 : ROOM_LEAST;
    script_lend(L, x->script, room);
    char *bytes = arena_alloc(&x->arena, room);
    if (answer->content.len) memcpy(bytes, answer->content.ptr, answer->content.len);
    answer->content.ptr = bytes;
    answer->room = room;
  }
  if (text.len) memcpy((char *)answer->content.ptr + answer->content.len, text.ptr, text.len);
  answer->content.len = wanted;
  return 0;
}

/* core.answer_status(session, status): of the answer that there is; 204 and 304 have no text -2 +0 */
static int answer_status(lua_State *L) {
  struct exchange *x = check(L, "ngx.exit");
  lua_Integer status = luaL_checkinteger(L, 2);
  if (!(status >= 200 && status <= 599)) return luaL_error(L, "ngx.exit: the status must be from 200 to 599");
  struct answer *answer = x->answer ? x->answer : exchange_answer(x, (unsigned)status);
  answer->response.status = (unsigned short)status;
  answer->response.reason = status_reason((unsigned)status);
  if (status == 204 || status == 304) answer->content.len = 0;
  return 0;
}

/* core.has_answer(session): does the exchange end with an answer of the policy's? -1 +1 */
static int has_answer(lua_State *L) {
  lua_pushboolean(L, session_check(L, 1)->answer != NULL);
  return 1;
}

static const luaL_Reg functions[] = {
    {"answer_add", answer_add}, {"answer_status", answer_status}, {"has_answer", has_answer}, {NULL, NULL}};

void open_answer_text(lua_State *L) { luaL_register(L, NULL, functions); }
