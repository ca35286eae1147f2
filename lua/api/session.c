// SPDX-License-Identifier: Apache-2.0
// session: the methods of a session. The getters of the request read it as the client sent it,
// without hop-by-hop fields; session:request() is the handle to change it, before a peer is asked.
#include "lua/api/session.h"
#include "lua/vm/push.h"
#include "lua/vm/token.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/escape.h"
#include "base/number.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/script.h"
#include "lua/vm/task.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"
#include "exchange/access_log.h"
#include "downstream/downstream.h"
#include "exchange/attempt.h"
#include "exchange/exchange.h"
#include "exchange/walk.h"

struct exchange *session_check(lua_State *L, int index) {
  return token_check_kind(L, index, TOKEN_SESSION)->x;
}

/* Background work may keep a session and read it, but the walk is the hooks' to change. */
static const struct task *task_of(const struct exchange *x) {
  const struct script *script = x->script;
  const struct task *running = script->vm->running;
  return running && running->script == script && running->hook != TASK_NO_HOOK ? running : NULL;
}

/* "request_filter, upstream_peer": the names of `phases`. -0 +1 */
static const char *push_phases(lua_State *L, unsigned phases) {
  luaL_Buffer list;
  luaL_buffinit(L, &list);
  for (unsigned hook = 0, count = 0; hook < HOOK_COUNT; hook++) {
    if (!(phases & 1u << hook)) continue;
    luaL_addstring(&list, count++ ? ", " : "");
    luaL_addstring(&list, hook_name((enum hook)hook));
  }
  luaL_pushresult(&list);
  return lua_tostring(L, -1);
}

static __attribute__((cold)) void refuse_phase(lua_State *L, const struct task *task, unsigned phases,
                                               const char *call) {
  if (!task) handle_raise(L, "%s is not allowed outside of the exchange's hooks", call);
  handle_raise(L, "%s is not allowed in %s, only in %s", call, hook_name(task->hook), push_phases(L, phases));
}

void session_phase(lua_State *L, const struct exchange *x, unsigned phases, const char *call) {
  const struct task *task = task_of(x);
  if (!task || !(phases & 1u << task->hook)) refuse_phase(L, task, phases, call);
}

/* The exchange of the session that is argument 1. */
static struct exchange *check(lua_State *L) { return session_check(L, 1); }

/* --- the request line. -1 +1 ---------------------------------------------------------------------------- */

/* The query without its question mark; nil where there is none. */
static int query(lua_State *L) {
  struct str whole = check(L)->request.target;
  size_t at = str_find(whole, '?');
  if (at == whole.len) return push_nil(L);
  return push_text(L, str_from(whole, at + 1));
}

/* The host the client asked for, without port, in lower case; nil on HTTP/1.0 without Host. */
static int host(lua_State *L) {
  struct str name = check(L)->request.authority;
  luaL_Buffer lower;
  if (str_is_empty(name)) return push_nil(L);
  size_t end = name.ptr[0] == '[' ? str_find(name, ']') + 1 : str_find(name, ':');
  luaL_buffinit(L, &lower);
  for (size_t i = 0; i < end && i < name.len; i++) luaL_addchar(&lower, ascii_lower(name.ptr[i]));
  luaL_pushresult(&lower);
  return 1;
}

static int scheme(lua_State *L) { return push_text(L, check(L)->secure ? STR("https") : STR("http")); }

/* The token of the client's request. -1 +1 */
static int request(lua_State *L) {
  token_push(L, check(L)->script, TOKEN_REQUEST);
  return 1;
}

/* --- the connection and the peer. -1 +1 ----------------------------------------------------------------- */

static int client_address(lua_State *L) { return push_text(L, exchange_client_address(check(L))); }

/* Nil before upstream_peer. */
static int peer_address(lua_State *L) {
  struct str address = check(L)->now.address;
  return address.len ? push_text(L, address) : push_nil(L);
}

static int attempts(lua_State *L) {
  lua_pushinteger(L, check(L)->attempts);
  return 1;
}

static int reused(lua_State *L) {
  lua_pushboolean(L, check(L)->now.reused);
  return 1;
}

/* Of the answer so far: what the client got, else what the peer or the policy said; nil where there is none
 * yet. */
static int response_status(lua_State *L) {
  const struct exchange *x = check(L);
  unsigned status = x->sent.status ? x->sent.status
                    : x->answer    ? x->answer->response.status
                                   : x->response.status;
  if (status == 0) return push_nil(L);
  lua_pushinteger(L, (lua_Integer)status);
  return 1;
}

/* Of an answer of our own; a HEAD, 204 or 304 has none. */
static size_t answer_bytes(const struct exchange *x) {
  bool silent = x->request.method == METHOD_HEAD || x->sent.status == 204 || x->sent.status == 304;
  if (x->answer->is_streamed) return (size_t)x->down.bytes;
  return silent || !x->sent.status ? 0 : (size_t)exchange_content_bytes(x);
}

/* Of the response's body, so far. */
static int body_bytes(lua_State *L) {
  const struct exchange *x = check(L);
  lua_pushnumber(L, x->answer ? (lua_Number)answer_bytes(x) : (lua_Number)x->down.bytes);
  return 1;
}

/* Seconds since the head arrived, or until the end. */
static int duration(lua_State *L) {
  const struct exchange *x = check(L);
  uint64_t now = x->times.ended ? x->times.ended : loop_now_ms(vm_of(L)->host.loop);
  lua_pushnumber(L, (lua_Number)(now - x->times.begun) / 1000);
  return 1;
}

static int phase(lua_State *L) {
  const struct exchange *x = check(L);
  const struct task *task = task_of(x); /* body hooks run concurrently with the others */
  lua_pushstring(L, hook_name(task ? task->hook : x->hook));
  return 1;
}

/* The connection ends behind this response. -1 +0 */
static int set_close(lua_State *L) {
  struct exchange *x = check(L);
  session_phase(L, x, ~PHASE(logging), "session:set_close");
  if (x->sent.status)
    return luaL_error(L, "session:set_close comes too late: the response head has been sent");
  x->sent.closes = true;
  return 0;
}

/* Argument 3 as JSON, in `room` or static; .ptr NULL for nil. */
static struct str log_value(lua_State *L, char room[LOG_VALUE_BYTES]) {
  struct str text;
  switch (lua_type(L, 3)) {
  case LUA_TNIL: return (struct str){NULL, 0};
  case LUA_TBOOLEAN: return lua_toboolean(L, 3) ? STR("true") : STR("false");
  case LUA_TNUMBER:
    luaL_argcheck(L, isfinite(lua_tonumber(L, 3)), 3, "a finite number expected");
    _Static_assert((int)LOG_VALUE_BYTES >= (int)NUMBER_TEXT, "a number fits");
    return (struct str){room, number_text(lua_tonumber(L, 3), room)};
  default: text = text_at(L, 3);
  }
  room[0] = '"';
  size_t length = 1 + escape_json(room + 1, LOG_VALUE_BYTES - 2, text);
  room[length++] = '"';
  return (struct str){room, length};
}

/* session:report_failure(): the backend of this attempt has failed, however the request ends -1 +1 */
static int report_failure(lua_State *L) {
  struct exchange *x = check(L);
  session_phase(L, x, ~(PHASE(logging)), "session:report_failure");
  lua_pushboolean(L, lease_judge_failed(&x->now.lease));
  return 1;
}

/* session:retry(): true: another attempt follows instead of this response; or nil and why it cannot be -1 +1 | -1 +2 */
static int retry(lua_State *L) {
  struct exchange *x = check(L);
  session_phase(L, x, PHASE(upstream_response_filter), "session:retry");
  if (x->answer) return luaL_error(L, "session:retry: the hook has answered already, by session:respond");
  const char *why = x->outcome.asks_again ? NULL : elsewhere_obstacle(x);
  if (!why && !x->outcome.asks_again && !attempt_takes_retry(x, false))
    why = "the set's retry budget is used up";
  x->outcome.asks_again = !why;
  if (why) lua_pushnil(L);
  if (why) lua_pushstring(L, why);
  if (!why) lua_pushboolean(L, true);
  return why ? 2 : 1;
}

/* -3 +0 */
static int set_log_field(lua_State *L) {
  struct exchange *x = check(L);
  char room[LOG_VALUE_BYTES];
  struct str name;
  session_phase(L, x, ~0u, "session:set_log_field");
  name = text_at(L, 2);
  luaL_checkany(L, 3);
  size_t bytes;
  struct str value = log_value(L, room);
  const char *fault = access_log_check_field(x, name, value, &bytes);
  if (fault) return luaL_error(L, "session:set_log_field('%s'): %s", name.ptr, fault);
  script_lend(L, x->script, bytes);
  access_log_set_field(x, name, value);
  return 0;
}

static const luaL_Reg methods[] = {
    {"query", query},
    {"host", host},
    {"scheme", scheme},
    {"request", request},
    {"client_address", client_address},
    {"peer_address", peer_address},
    {"attempts", attempts},
    {"reused", reused},
    {"response_status", response_status},
    {"body_bytes", body_bytes},
    {"duration", duration},
    {"phase", phase},
    {"set_close", set_close},
    {"set_log_field", set_log_field},
    {"report_failure", report_failure},
    {"retry", retry},
    {"respond", session_respond},
    {"reset", session_reset},
    {"set_body", session_set_body},
    {"set_response_header", session_set_response_header},
    {NULL, NULL},
};

/* Those that messages have, too, are in lua/api/message.c. */
void open_session(lua_State *L) {
  token_add_methods(L, methods);
  token_add_waiting(L, "read_body", session_read_body, session_body);
}
