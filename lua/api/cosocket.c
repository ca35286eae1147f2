// SPDX-License-Identifier: Apache-2.0
// cosocket: what lua/perilune/ngx/socket.lua needs of sockets: the same as tcp.c in fewer steps, and words instead of
// errors where they are misused. A library calls it for each piece of each answer, so a call of its method is to cost
// as little as one of socket:receive. Each start gives a word, and nothing was done; or nil and the result, where it is
// there at once; or nil alone, and then the finish gives the results.
//
// A socket belongs to the exchange that opened it. Those of timers are known to Lua.
#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "lua/api/tcp.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/script.h"
#include "lua/vm/task.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"

static uint64_t running_owner(const struct vm *vm) {
  const struct script *script = vm->running ? vm->running->script : NULL;
  return script && !vm->loading ? script->token : 0;
}

/* Why the running code may not use it, in a word; NULL: it may. */
static const char *fault_of(const struct socket *s, bool to_read, bool to_write) {
  if (!s) return "closed";
  if (s->owner && s->owner != running_owner(s->vm)) return "bad request";
  if (to_read && s->reading.task) return "socket busy reading";
  return to_write && (s->writing.task || s->is_shaking) ? "socket busy writing" : NULL;
}

static int refuse(lua_State *L, const char *word) {
  lua_pushstring(L, word);
  return 1;
}

/* core.cosocket_fault(socket, to_read, to_write): why it may not be used; nil: it may -3 +1 */
static int fault(lua_State *L) {
  const char *word = fault_of(socket_check(L), lua_toboolean(L, 2), lua_toboolean(L, 3));
  return word ? refuse(L, word) : 0;
}

/* core.cosocket_own(socket): it is of the running exchange -1 +0 */
static int own(lua_State *L) {
  struct socket *s = socket_check(L);
  if (s) s->owner = running_owner(s->vm);
  return 0;
}

static unsigned ms_of(lua_State *L, int index) { return (unsigned)(luaL_checknumber(L, index) * 1000 + 0.5); }

/* core.cosocket_take(key, send_timeout, receive_timeout): a spare connection of the key, as socket_options_key makes
 * it, and is it an exchange's now? nil: there is none -3 +1 | -3 +2 */
static int take(lua_State *L) {
  struct vm *vm = vm_of(L);
  struct str key = text_at(L, 1);
  if (list_is_empty(&vm->spare_sockets) || !vm->running || vm->loading) return 0;
  unsigned send_ms = ms_of(L, 2), receive_ms = ms_of(L, 3);
  struct socket_handle *handle = handle_new(L, HANDLE_SOCKET, sizeof *handle);
  struct socket *s = handle->socket = socket_pool_take(vm, key);
  if (!s) return 0;
  s->handle = handle;
  if (s->pool) socket_bind(s);
  s->owner = running_owner(vm);
  s->writing.timeout_ms = send_ms;
  s->reading.timeout_ms = receive_ms;
  lua_pushboolean(L, s->owner != 0);
  return 2;
}

/* core.cosocket_sent(socket): how many bytes; or nil and a sentence -1 +1 | -1 +2 */
static int sent(lua_State *L) {
  struct socket *s = socket_check(L);
  int failure = tcp_send_failure(L, s, "ngx.socket: send");
  if (failure) return failure;
  lua_pushnumber(L, (lua_Number)s->writing.bytes);
  return 1;
}

/* nil and the result, if the work is done and went well. Else nothing: it waits now, or has failed, and the finish
 * tells the outcome. */
static int result_at_once(lua_State *L, int yields, const struct socket_wait *wait, lua_CFunction finish) {
  if (yields || wait->task || wait->outcome != OUTCOME_OK) return yields;
  lua_pushnil(L);
  return 1 + finish(L);
}

/* core.cosocket_send(socket, data) -2 +0 (yields) | -2 +1 | -2 +2 */
static int send_start(lua_State *L) {
  struct socket *s = socket_check(L);
  const char *word = fault_of(s, false, true);
  if (word) return refuse(L, word);
  task_to_park(L, "ngx.socket: send");
  return result_at_once(L, tcp_start_send(L, s, "ngx.socket: send", true), &s->writing, sent);
}

struct pattern {
  enum tcp_what what;
  size_t count;
};

/* "*l", which is also the default, "*a", or a number of bytes. -0 +0 */
static struct pattern check_pattern(lua_State *L, int index) {
  const char *text = lua_type(L, index) == LUA_TSTRING ? lua_tostring(L, index) : NULL;
  if (lua_isnoneornil(L, index) || (text && strcmp(text, "*l") == 0)) return (struct pattern){TCP_LINE, 0};
  if (text && strcmp(text, "*a") == 0) return (struct pattern){TCP_ALL, 0};
  lua_Number count = lua_isnumber(L, index) ? lua_tonumber(L, index) : -1;
  if (!(count >= 0 && count < 1e15)) {
    lua_getglobal(L, "tostring");
    lua_pushvalue(L, index);
    lua_call(L, 1, 1);
    handle_raise(L, "ngx.socket: receive: bad pattern argument: %s", lua_tostring(L, -1));
  }
  return (struct pattern){TCP_COUNT, (size_t)count};
}

/* core.cosocket_receive(socket, pattern); core.cosocket_received gives what came. A server that says how much will come
 * may lie: more than the policy's memory can hold is not waited for -2 +0 (yields) | -2 +1 | -2 +2 */
static int receive_start(lua_State *L) {
  struct pattern pattern = check_pattern(L, 2);
  struct socket *s = socket_check(L);
  const char *word = fault_of(s, true, false);
  if (word) return refuse(L, word);
  if (pattern.count <= s->vm->memory.cap_bytes)
    return result_at_once(L, tcp_start_receive(L, s, pattern.what, pattern.count), &s->reading, tcp_received);
  s->is_broken = true;
  return refuse(L, "too long");
}

/* core.cosocket_keep(socket, seconds, most): into the pool: true; false and a sentence: closed instead; nil and a word:
 * nothing was done -3 +1 | -3 +2 */
static int keep(lua_State *L) {
  struct socket_handle *handle = handle_check(L, 1, HANDLE_SOCKET);
  struct socket *s = handle->socket;
  const char *word = fault_of(s, true, true);
  if (word) return push_nil_why(L, word);
  unsigned idle_ms = ms_of(L, 2);
  lua_Integer most = luaL_checkinteger(L, 3);
  const char *refusal = tcp_keep(handle, idle_ms, most < 1 ? 1 : (unsigned)most);
  lua_pushboolean(L, !refusal);
  if (!refusal) return 1;
  lua_pushstring(L, refusal);
  return 2;
}

static const luaL_Reg functions[] = {
    {"cosocket_fault", fault},           {"cosocket_own", own},   {"cosocket_take", take},
    {"cosocket_send", send_start},       {"cosocket_sent", sent}, {"cosocket_receive", receive_start},
    {"cosocket_received", tcp_received}, {"cosocket_keep", keep}, {NULL, NULL}};

void open_cosocket(lua_State *L) { luaL_register(L, NULL, functions); }
