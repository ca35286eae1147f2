// SPDX-License-Identifier: Apache-2.0
// tcp: connections of the policy's own, TLS as well: open, send, receive, keep. lua/perilune/tcp.lua is the
// module. A call that waits has two parts: see lua/vm/task.h.
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>

#include "base/container.h"
#include "lua/api/socket.h"
#include "lua/api/socket_options.h"
#include "lua/vm/gather.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/task.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"
#include "net/tls_context.h"
#include "net/tls_names.h"
#include "exchange/proxy.h"

enum { LIMIT_BYTES = 8 << 20, DEPTH_MOST = 16 };

static unsigned or_else(unsigned value, unsigned otherwise) { return value ? value : otherwise; }

/* --- connect -------------------------------------------------------------------------------------------- */

static void on_done(struct connect *connect, enum error error) {
  struct socket *s = CONTAINER_OF(connect, struct socket, connect);
  struct task *task = s->reading.task;
  s->connecting = false;
  s->reading.task = NULL;
  s->reading.outcome = error == ERROR_NONE ? OUTCOME_OK : OUTCOME_FAILED;
  s->kind = error_info(error)->name;
  if (error != ERROR_NONE)
    snprintf(s->why, sizeof s->why, "%s", s->connect.why[0] ? s->connect.why : error_info(error)->text);
  else
    conn_adopt(&s->conn, socket_events(), s);
  if (task) task_wake_soon(task);
}

static void start(struct socket *s, const struct socket_options *o) {
  struct vm *vm = s->vm;
  struct tls_names names = tls_names((struct tls_names){o->sni, o->verify_name}, &s->addr, &s->arena);
  struct connect_options full = {.addr = &s->addr,
                                 .family = o->family,
                                 .tls = s->tls,
                                 .sni = arena_dup(&s->arena, names.sni),
                                 .verify_name = arena_dup(&s->arena, names.verify),
                                 .connect_timeout_ms = or_else(o->connect_ms, o->timeout_ms),
                                 .handshake_timeout_ms = or_else(o->connect_ms, o->timeout_ms)};
  s->connecting = true;
  connect_start(&s->connect, &s->conn, vm->host.loop, vm->host.proxy->resolver, &full, on_done);
}

/* nil and the message on top of the stack. -1 +2 */
static int refuse(lua_State *L) {
  lua_pushnil(L);
  lua_insert(L, -2);
  return 2;
}

/* -0 +0 | -0 +1 */
static bool prepare(lua_State *L, struct socket *s, struct str address, const struct socket_options *o) {
  const char *reason = NULL;
  char *why = NULL;
  if (!addr_parse_peer(address, &s->addr, &reason)) {
    lua_pushfstring(L, "'%s': %s", address.ptr, reason);
    return false;
  }
  if (!o->tls) return true;
  s->tls = socket_options_context(o, &why);
  if (s->tls) return true;
  lua_pushstring(L, why);
  free(why);
  return false;
}

/* A spare connection, or a new one that connects. NULL: what is wrong with the arguments is on the stack. */
static struct socket *get(lua_State *L, struct str address, const struct socket_options *o) {
  struct vm *vm = vm_of(L);
  struct socket *s = socket_new(vm);
  s->key = socket_options_key(&s->arena, address, o);
  s->one_way = o->one_way;
  struct socket *spare = o->fresh ? NULL : socket_pool_take(vm, s->key);
  if (spare || !prepare(L, s, address, o)) {
    socket_free(s);
    return spare;
  }
  start(s, o);
  return s;
}

/* core.tcp_open(address, options): a socket that connects, or nil and what is wrong with them -2 +2 */
static int tcp_open(lua_State *L) {
  struct socket_options wanted = {.timeout_ms = 5000};
  struct arena arena = {0};
  struct str address;
  task_to_park(L, "tcp.connect");
  address = text_at(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  struct socket_handle *handle = handle_new(L, HANDLE_SOCKET, sizeof *handle);
  bool is_fine = socket_options_read(L, 2, &wanted, &arena);
  if (is_fine) handle->socket = get(L, address, &wanted);
  arena_free(&arena);
  struct socket *s = handle->socket;
  if (!s) return refuse(L);
  s->reading.timeout_ms = or_else(wanted.receive_ms, wanted.timeout_ms);
  s->writing.timeout_ms = or_else(wanted.send_ms, wanted.timeout_ms);
  return 1;
}

static void close_handle(struct socket_handle *handle) {
  if (handle->socket) socket_free(handle->socket);
  handle->socket = NULL;
}

static void cancel(void *what) { ((struct socket *)what)->reading.task = NULL; }

/* core.tcp_connected(socket): the socket, or nil, why it could not be connected, and the name of the error; in two
 * parts -1 +0 */
static int await(lua_State *L) {
  struct socket *s = socket_check(L);
  if (!s || !s->connecting) return 0;
  s->reading.task = task_to_park(L, "tcp.connect");
  return task_wait(L, cancel, s);
}
/* -1 +1 | -1 +3 */
static int connected(lua_State *L) {
  struct socket_handle *handle = handle_check(L, 1, HANDLE_SOCKET);
  struct socket *s = handle->socket;
  if (s && s->connecting) return task_not_done(L, "tcp.connect");
  lua_settop(L, 1);
  if (s && conn_is_open(&s->conn)) return 1;
  lua_pushnil(L);
  lua_pushstring(L, s ? s->why : "closed");
  lua_pushstring(L, s && s->kind ? s->kind : "none");
  close_handle(handle);
  return 3;
}

/* --- send ----------------------------------------------------------------------------------------------- */

static void check_room(lua_State *L, bool has_room) {
  if (!has_room) handle_raise(L, "socket:send: the data are " GATHER_TOO_LONG);
}

/* Strings, numbers, and arrays of them, however deep. -0 +0 */
static void gather(lua_State *L, int index, struct gather *g, int depth) {
  if (lua_isstring(L, index)) {
    lua_pushvalue(L, index); /* a number becomes a string in place */
    check_room(L, gather_text(g, text_of(L, -1)));
    lua_pop(L, 1);
    return;
  }
  if (!lua_istable(L, index) || depth == DEPTH_MOST)
    handle_raise(L, "socket:send: expected a string, a number or an array of them, got %s",
                 depth == DEPTH_MOST ? "arrays in arrays too deep" : luaL_typename(L, index));
  check_room(L, gather_array(g));
  luaL_checkstack(L, 3, "socket:send");
  for (int i = 1, count = (int)lua_objlen(L, index); i <= count; i++) {
    lua_rawgeti(L, index, i);
    gather(L, lua_gettop(L), g, depth + 1);
    lua_pop(L, 1);
  }
}

/* socket:send(data) -2 +0 (yields) */
static int send_start(lua_State *L) {
  struct socket *s = socket_check(L);
  if (!s) return 0;
  task_to_park(L, "socket:send");
  if (s->writing.task) return handle_raise(L, "socket:send: another task sends already");
  s->writing.outcome = OUTCOME_CLOSED;
  if (s->cut) return 0;
  buf_release(&s->out);
  struct gather g = gather_begin(L, &s->out);
  gather(L, 2, &g, 0);
  s->cut = true; /* until it is known that all of it went */
  if (!s->one_way) s->outstanding = "nothing was received after the last send, so an answer may still come";
  return socket_write(L, "socket:send");
}

/* true, or nil and a sentence -2 +1 | -2 +2 */
static int send_result(lua_State *L) {
  struct socket *s = socket_check(L);
  if (s && s->writing.task) return task_not_done(L, "socket:send");
  if (!s || s->writing.outcome != OUTCOME_OK)
    return socket_push_failure(L, s, s ? s->writing.outcome : OUTCOME_CLOSED);
  s->cut = false;
  lua_pushboolean(L, 1);
  return 1;
}

/* --- receive -------------------------------------------------------------------------------------------- */

/* The first `length` bytes of the input, and `more` behind them that are not wanted. */
static enum enough whole(struct socket *s, size_t length, size_t more) {
  s->piece = (struct str){buf_ptr(&s->in), length};
  s->used = length + more;
  return ENOUGH_WHOLE;
}

/* s->wanted: how far it was looked for the line's end. */
static enum enough read_line(struct socket *s) {
  size_t have = buf_len(&s->in), at = s->wanted;
  const char *bytes = have ? buf_ptr(&s->in) : NULL;
  const char *end = at < have ? memchr(bytes + at, '\n', have - at) : NULL;
  s->wanted = have;
  if (!end) return have > s->limit ? ENOUGH_LONG : ENOUGH_NOT;
  size_t length = (size_t)(end - bytes), cr = length && end[-1] == '\r';
  return length > s->limit ? ENOUGH_LONG : whole(s, length - cr, cr + 1);
}

static enum enough read_count(struct socket *s) {
  return buf_len(&s->in) >= s->wanted ? whole(s, s->wanted, 0) : ENOUGH_NOT;
}

static enum enough read_all(struct socket *s) {
  if (buf_len(&s->in) > s->limit) return ENOUGH_LONG;
  return s->eof ? whole(s, buf_len(&s->in), 0) : ENOUGH_NOT;
}

static enum enough read_any(struct socket *s) {
  size_t have = buf_len(&s->in);
  return have ? whole(s, have < s->limit ? have : s->limit, 0) : ENOUGH_NOT;
}

/* Argument 3. -0 +0 */
static size_t check_limit(lua_State *L) {
  if (lua_isnoneornil(L, 3)) return LIMIT_BYTES;
  lua_Number limit = lua_type(L, 3) == LUA_TNUMBER ? lua_tonumber(L, 3) : 0;
  if (!(limit >= 1 && limit <= 1e15))
    handle_raise(L, "socket:receive: the limit must be a number of bytes, 1 or more");
  return (size_t)limit;
}

/* What argument 2 asks for. -0 +0 */
static socket_reader *reader_of(lua_State *L, struct socket *s) {
  static const char *const names[] = {"line", "all", "any"};
  static socket_reader *const readers[] = {read_line, read_all, read_any};
  s->wanted = 0;
  s->limit = check_limit(L);
  if (lua_isnoneornil(L, 2)) return read_line;
  for (int i = 0; i < 3; i++)
    if (lua_type(L, 2) == LUA_TSTRING && strcmp(lua_tostring(L, 2), names[i]) == 0) return readers[i];
  lua_Number count = lua_type(L, 2) == LUA_TNUMBER ? lua_tonumber(L, 2) : -1;
  if (!(count >= 0 && count <= (lua_Number)s->limit && count == (lua_Number)(size_t)count))
    handle_raise(L, "socket:receive: expected \"line\", \"all\", \"any\" or a number of bytes up to %f",
                 (lua_Number)s->limit);
  s->wanted = (size_t)count;
  return read_count;
}

/* socket:receive("line" | "all" | "any" | count [, limit]) -3 +0 (yields) */
static int receive_start(lua_State *L) {
  struct socket *s = socket_check(L);
  if (!s) return 0;
  if (s->reading.task) return handle_raise(L, "socket:receive: another task receives already");
  socket_reader *reader = reader_of(L, s);
  s->outstanding = "a receive on it did not end, so an answer may still come";
  return socket_read(L, reader, "socket:receive");
}

/* The bytes; or nil, a sentence, and what there is of them -3 +1 | -3 +3 */
static int receive_result(lua_State *L) {
  struct socket *s = socket_check(L);
  if (!s) return socket_push_failure(L, s, OUTCOME_CLOSED);
  if (s->reading.task) return task_not_done(L, "socket:receive");
  if (s->reading.outcome == OUTCOME_OK) {
    s->outstanding = NULL;
    lua_pushlstring(L, s->piece.ptr ? s->piece.ptr : "", s->piece.len);
    buf_consume(&s->in, s->used);
    return 1;
  }
  s->is_broken = true;
  socket_push_failure(L, s, s->reading.outcome);
  lua_pushlstring(L, buf_len(&s->in) ? buf_ptr(&s->in) : "", buf_len(&s->in));
  buf_consume(&s->in, buf_len(&s->in));
  return 3;
}

/* --- the end -------------------------------------------------------------------------------------------- */

/* -0 +0 */
static unsigned check_ms(lua_State *L, int index, double otherwise) {
  lua_Number seconds = luaL_optnumber(L, index, otherwise);
  if (!(seconds >= 0.001 && seconds <= 1e6)) luaL_error(L, "expected a number of seconds of at least 0.001");
  return (unsigned)(seconds * 1000 + 0.5);
}

/* socket:set_timeouts(send [, receive]): seconds of each call -3 +0 */
static int set_timeouts(lua_State *L) {
  struct socket *s = socket_check(L);
  unsigned send_ms = check_ms(L, 2, 0), receive_ms = check_ms(L, 3, (double)send_ms / 1000);
  if (!s) return 0;
  s->writing.timeout_ms = send_ms;
  s->reading.timeout_ms = receive_ms;
  return 0;
}

/* socket:reused(): how often it came out of the pool -1 +1 */
static int reused(lua_State *L) {
  const struct socket *s = socket_check(L);
  lua_pushinteger(L, s ? (lua_Integer)s->reused : 0);
  return 1;
}

/* socket:keep([seconds [, most]]): into the pool. True; or nil and why it was closed instead -3 +1 | -3 +2 */
static int keep(lua_State *L) {
  struct socket_handle *handle = handle_check(L, 1, HANDLE_SOCKET);
  struct socket *s = handle->socket;
  unsigned idle_ms = check_ms(L, 2, 55);
  lua_Number most = luaL_optnumber(L, 3, 32);
  if (!(most >= 1 && most <= 1e6))
    return luaL_error(L, "socket:keep: expected a number of connections, 1 or more");
  if (!s) return socket_push_failure(L, s, OUTCOME_CLOSED);
  if (s->connecting || s->reading.task || s->writing.task)
    return handle_raise(L, "socket:keep: a task is at it");
  const char *refusal = socket_pool_refusal(s);
  handle->socket = NULL;
  if (!refusal) {
    socket_pool_put(s, idle_ms, (unsigned)most);
    lua_pushboolean(L, 1);
    return 1;
  }
  socket_free(s);
  lua_pushnil(L);
  lua_pushstring(L, refusal);
  return 2;
}

/* socket:close(); harmless when it is closed already -1 +0 */
static int tcp_close(lua_State *L) {
  close_handle(handle_check(L, 1, HANDLE_SOCKET));
  return 0;
}

static void end(void *handle) { close_handle(handle); }

static const luaL_Reg methods[] = {
    {"close", tcp_close}, {"keep", keep}, {"reused", reused}, {"set_timeouts", set_timeouts}, {NULL, NULL}};
static const luaL_Reg functions[] = {{"tcp_open", tcp_open},
                                     {"tcp_check_ca", socket_options_check_ca},
                                     {"tcp_fault", socket_options_fault},
                                     {NULL, NULL}};

void open_tcp(lua_State *L) {
  handle_define(L, HANDLE_SOCKET, "perilune.socket", methods, NULL);
  handle_set_end(L, HANDLE_SOCKET, end);
  handle_add_waiting(L, HANDLE_SOCKET, "send", send_start, send_result);
  handle_add_waiting(L, HANDLE_SOCKET, "receive", receive_start, receive_result);
  handle_push_waiting(L, await, connected);
  lua_setfield(L, -2, "tcp_connected");
  luaL_register(L, NULL, functions);
}
