// SPDX-License-Identifier: Apache-2.0
// tcp: connections of the policy's own, TLS as well: open, send, keep. tcp_receive.c receives, tcp_tls.c starts TLS on
// one that is open. lua/perilune/tcp.lua is the module. A call that waits has two parts: see lua/vm/task.h.
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>

#include "base/container.h"
#include "lua/api/socket_options.h"
#include "lua/api/tcp.h"
#include "lua/vm/gather.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/task.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"
#include "net/tls_context.h"
#include "net/tls_identity.h"
#include "net/tls_names.h"
#include "exchange/proxy.h"

static unsigned or_else(unsigned value, unsigned otherwise) { return value ? value : otherwise; }

/* --- connect -------------------------------------------------------------------------------------------- */

static void on_done(struct connect *connect, enum error error) {
  struct socket *s = CONTAINER_OF(connect, struct socket, connect);
  CHECK_OBJ(s, SOCKET_MAGIC);
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

/* At once, or when there is room in its pool. */
static void begin(struct socket *s) {
  struct vm *vm = s->vm;
  const struct socket_options *o = s->wanted_options;
  struct tls_names names = tls_names((struct tls_names){o->sni, o->verify_name}, &s->addr, &s->arena);
  struct connect_options full = {.addr = &s->addr,
                                 .family = o->family,
                                 .tls = s->tls,
                                 .identity = s->identity,
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

/* PEM text is for this connection alone; files are kept with the context, which others share. -0 +0 | -0 +1 */
static bool prepare_tls(lua_State *L, struct socket *s, const struct socket_options *o) {
  struct tls_wanted wanted = {.ca = o->ca,
                              .certificate = o->certificate,
                              .key = o->key,
                              .no_verify = o->no_verify,
                              .http1 = o->http1,
                              .http2 = o->http2};
  char *why = NULL;
  if (!o->tls) return true;
  if (o->certificate.len && tls_is_text(o->certificate)) return tcp_take_tls(L, s, &wanted);
  s->tls = socket_options_context(o, &why);
  if (s->tls) return true;
  lua_pushstring(L, why);
  free(why);
  return false;
}

/* -0 +0 | -0 +1 */
static bool prepare(lua_State *L, struct socket *s, struct str address, const struct socket_options *o) {
  const char *reason = NULL;
  if (addr_parse_peer(address, &s->addr, &reason)) return prepare_tls(L, s, o);
  lua_pushfstring(L, "'%s': %s", address.ptr, reason);
  return false;
}

/* What connecting needs of the options, for as long as the socket lives. */
static void keep_options(struct socket *s, const struct socket_options *o) {
  struct socket_options *kept = arena_alloc(&s->arena, sizeof *kept);
  *kept = *o;
  kept->sni = arena_dup(&s->arena, o->sni);
  kept->verify_name = arena_dup(&s->arena, o->verify_name);
  s->wanted_options = kept;
  s->begin = begin;
}

/* A new one that connects, or waits for its turn. NULL: what is wrong with the arguments is on the stack. */
static struct socket *begin_new(lua_State *L, struct str key, struct str address,
                                const struct socket_options *o) {
  struct socket *s = socket_new(vm_of(L));
  s->key = arena_dup(&s->arena, key);
  s->one_way = o->one_way;
  s->is_named = o->pool_key.len > 0;
  if (!prepare(L, s, address, o)) {
    socket_free(s);
    return NULL;
  }
  keep_options(s, o);
  socket_pool_enter(s, o->pool_size, o->backlog, or_else(o->connect_ms, o->timeout_ms));
  return s;
}

/* A spare connection where there is one, else a new one. `arena`: of this call. */
static struct socket *get(lua_State *L, struct arena *arena, struct str address,
                          const struct socket_options *o) {
  struct str key = socket_options_key(arena, address, o);
  struct socket *spare = o->fresh ? NULL : socket_pool_take(vm_of(L), key);
  return spare ? spare : begin_new(L, key, address, o);
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
  if (is_fine) handle->socket = get(L, &arena, address, &wanted);
  arena_free(&arena);
  struct socket *s = handle->socket;
  if (!s) return refuse(L);
  s->handle = handle;
  if (s->pool) socket_bind(s);
  s->reading.timeout_ms = or_else(wanted.receive_ms, wanted.timeout_ms);
  s->writing.timeout_ms = or_else(wanted.send_ms, wanted.timeout_ms);
  return 1;
}

static void close_handle(struct socket_handle *handle) {
  if (handle->socket) socket_free(handle->socket);
  handle->socket = NULL;
}

/* Nobody wants it any more. */
static void cancel(void *what) {
  struct socket *s = what;
  CHECK_OBJ(s, SOCKET_MAGIC);
  s->reading.task = NULL;
  close_handle(s->handle);
}

/* core.tcp_connected(socket): the socket, or nil, why it could not be connected, and the name of the error; in two
 * parts -1 +0 */
static int await(lua_State *L) {
  struct socket *s = socket_check(L);
  if (!s || !(s->connecting || s->is_queued)) return 0;
  s->reading.task = task_to_park(L, "tcp.connect");
  return task_wait(L, cancel, s);
}
/* -1 +1 | -1 +3 */
static int connected(lua_State *L) {
  struct socket_handle *handle = handle_check(L, 1, HANDLE_SOCKET);
  struct socket *s = handle->socket;
  bool is_late = s && s->is_queued && s->reading.outcome == OUTCOME_TIMEOUT;
  if (s && (s->connecting || (s->is_queued && !is_late))) return task_not_done(L, "tcp.connect");
  lua_settop(L, 1);
  if (s && conn_is_open(&s->conn)) return 1;
  lua_pushnil(L);
  lua_pushstring(L, is_late ? "timed out in the queue of its pool" : s ? s->why : "closed");
  lua_pushstring(L, is_late ? error_info(ERROR_CONNECT_TIMEOUT)->name : s && s->kind ? s->kind : "none");
  close_handle(handle);
  return 3;
}

/* --- send ----------------------------------------------------------------------------------------------- */

int tcp_start_send(lua_State *L, struct socket *s, const char *call, bool takes_all) {
  s->writing.outcome = OUTCOME_CLOSED;
  if (s->cut) return 0;
  buf_release(&s->out);
  struct gather g = gather_begin(L, &s->out);
  g.takes_all = takes_all;
  if (!gather_value(L, 2, &g, call)) return handle_raise(L, "%s: the data are " GATHER_TOO_LONG, call);
  s->writing.bytes = buf_len(&s->out);
  s->cut = true; /* until it is known that all of it went */
  if (!s->one_way) s->outstanding = "nothing was received after the last send, so an answer may still come";
  return socket_write(L, call);
}

/* socket:send(data) -2 +0 (yields) */
static int send_start(lua_State *L) {
  struct socket *s = socket_check(L);
  if (!s) return 0;
  task_to_park(L, "socket:send");
  if (s->writing.task) return handle_raise(L, "socket:send: another task sends already");
  if (s->is_shaking) return handle_raise(L, "socket:send: another task starts TLS on it");
  return tcp_start_send(L, s, "socket:send", false);
}

int tcp_send_failure(lua_State *L, struct socket *s, const char *call) {
  if (s && s->writing.task) return task_not_done(L, call);
  if (!s || s->writing.outcome != OUTCOME_OK)
    return socket_push_failure(L, s, s ? s->writing.outcome : OUTCOME_CLOSED);
  s->cut = false;
  return 0;
}

/* true, or nil and a sentence -2 +1 | -2 +2 */
static int send_result(lua_State *L) {
  int failure = tcp_send_failure(L, socket_check(L), "socket:send");
  if (failure) return failure;
  lua_pushboolean(L, 1);
  return 1;
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

const char *tcp_keep(struct socket_handle *handle, unsigned idle_ms, unsigned most) {
  struct socket *s = handle->socket;
  const char *refusal = socket_pool_refusal(s);
  handle->socket = NULL;
  if (refusal)
    socket_free(s);
  else
    socket_pool_put(s, idle_ms, most);
  return refusal;
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
  return push_true_or_why(L, tcp_keep(handle, idle_ms, (unsigned)most));
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
  tcp_add_receive(L);
  tcp_add_tls(L);
  handle_push_waiting(L, await, connected);
  lua_setfield(L, -2, "tcp_connected");
  luaL_register(L, NULL, functions);
}
