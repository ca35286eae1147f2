// SPDX-License-Identifier: Apache-2.0
// tcp_tls: what TLS needs of the options, and socket:start_tls: TLS on a connection that is open, as protocols want it
// that begin in the clear (STARTTLS). What was received in the clear and not read must not be taken for something that
// came protected (CVE-2011-0411): there is no TLS then.
#include <lauxlib.h>
#include <lua.h>
#include <stdlib.h>

#include "lua/api/options.h"
#include "lua/api/tcp.h"
#include "lua/vm/task.h"
#include "lua/vm/vm.h"
#include "net/tls.h"
#include "net/tls_identity.h"
#include "net/tls_names.h"

#define TLS(name, kind, member)                                                                              \
  { name, kind, offsetof(struct tls_wanted, member), NULL }
static const struct option options[] = {
    TLS("sni", OPTION_TEXT, sni),
    TLS("verify", OPTION_UNLESS, no_verify),
    TLS("verify_name", OPTION_TEXT, verify_name),
    TLS("ca", OPTION_FILE, ca),
    TLS("certificate", OPTION_PEM, certificate),
    TLS("key", OPTION_PEM, key),
    TLS("timeout", OPTION_SECONDS, timeout_ms),
};
static const struct option_set option_set = OPTION_SET(options);

/* -0 +0 | -0 +1 */
static bool take_identity(lua_State *L, struct socket *s, const struct tls_wanted *wanted, char **why) {
  struct tls_files files = {.certificate = wanted->certificate, .key = wanted->key};
  if (!wanted->certificate.len && !wanted->key.len) return true;
  if (!wanted->certificate.len || !wanted->key.len) {
    lua_pushliteral(L, "certificate and key belong together, and one of them is missing");
    return false;
  }
  tls_identity_release(s->identity);
  s->identity = tls_identity_get(&files, why);
  if (s->identity) return true;
  lua_pushstring(L, *why);
  return false;
}

bool tcp_take_tls(lua_State *L, struct socket *s, const struct tls_wanted *wanted) {
  char *why = NULL;
  struct tls_client_options tls = {.ca = wanted->ca,
                                   .no_verify = wanted->no_verify,
                                   .no_alpn = !wanted->http2,
                                   .http2 = wanted->http2,
                                   .no_http1 = !wanted->http1};
  bool is_fine = take_identity(L, s, wanted, &why);
  if (is_fine) s->tls = tls_context_client(&tls, &why);
  if (is_fine && !s->tls) {
    lua_pushstring(L, why);
    is_fine = false;
  }
  free(why);
  return is_fine;
}

/* --- start_tls ------------------------------------------------------------------------------------------ */

static void on_event(struct conn *conn);

static const struct conn_events events = {on_event, on_event};

/* True: done, as the outcome says. */
static bool shake(struct socket *s) {
  switch (tls_handshake(&s->conn)) {
  case IO_OK: s->reading.outcome = OUTCOME_OK; return true;
  case IO_AGAIN: return false;
  case IO_EOF:
  case IO_ERROR: break;
  }
  snprintf(s->why, sizeof s->why, "%s", tls_failure(&s->conn));
  s->reading.outcome = OUTCOME_FAILED;
  return true;
}

static void on_event(struct conn *conn) {
  struct socket *s = conn->owner;
  CHECK_OBJ(s, SOCKET_MAGIC);
  if (!shake(s)) return;
  struct task *task = s->reading.task;
  s->reading.task = NULL;
  timer_clear(&s->reading.timer);
  if (task) task_wake(task);
}

static void cancel(void *what) {
  struct socket *s = what;
  CHECK_OBJ(s, SOCKET_MAGIC);
  s->reading.task = NULL;
  timer_clear(&s->reading.timer);
}

/* Reads the options at 2. False: what is wrong is on the stack. -0 +0 | -0 +1 */
static bool prepare(lua_State *L, struct socket *s, struct tls_wanted *wanted) {
  if (lua_isnoneornil(L, 2)) lua_newtable(L);
  if (lua_gettop(L) > 2) lua_replace(L, 2);
  luaL_checktype(L, 2, LUA_TTABLE);
  return options_read(L, 2, &option_set, wanted, &s->arena) && tcp_take_tls(L, s, wanted);
}

static void put_tls_on(struct socket *s, const struct tls_wanted *wanted) {
  struct tls_names names =
      tls_names((struct tls_names){wanted->sni, wanted->verify_name}, &s->addr, &s->arena);
  conn_want_read(&s->conn, false);
  tls_client(&s->conn, s->tls, names.sni, names.verify, NULL);
  if (s->identity) tls_use_identity(&s->conn, s->identity);
  conn_adopt(&s->conn, &events, s);
  s->is_shaking = s->is_upgraded = true;
}

/* socket:start_tls([options]) -2 +0 (yields) */
static int start(lua_State *L) {
  struct socket *s = socket_check(L);
  struct tls_wanted wanted = {0};
  if (!s) return 0;
  lua_settop(L, 2);
  struct task *task = task_to_park(L, "socket:start_tls");
  if (s->reading.task || s->writing.task || s->is_shaking)
    return handle_raise(L, "socket:start_tls: another task is at it");
  s->reading.outcome = OUTCOME_OK;
  if (s->conn.tls) return 0;
  if (!prepare(L, s, &wanted)) return handle_raise(L, "socket:start_tls: %s", lua_tostring(L, -1));
  s->reading.outcome = OUTCOME_BAD;
  if (buf_len(&s->in)) return 0;
  put_tls_on(s, &wanted);
  if (shake(s)) return 0;
  s->reading.task = task;
  timer_set(&s->reading.timer, wanted.timeout_ms ? wanted.timeout_ms : s->reading.timeout_ms);
  return task_wait(L, cancel, s);
}

/* true; or nil and a sentence, and the socket is closed -2 +1 | -2 +2 */
static int result(lua_State *L) {
  struct socket_handle *handle = handle_check(L, 1, HANDLE_SOCKET);
  struct socket *s = handle->socket;
  if (!s) return socket_push_failure(L, s, OUTCOME_CLOSED);
  if (s->reading.task) return task_not_done(L, "socket:start_tls");
  bool is_done = s->reading.outcome == OUTCOME_OK;
  s->is_shaking = false;
  if (is_done) {
    conn_adopt(&s->conn, socket_events(), s);
    lua_pushboolean(L, 1);
    return 1;
  }
  socket_push_failure(L, s, s->reading.outcome);
  if (s->reading.outcome == OUTCOME_BAD) {
    lua_pop(L, 1);
    lua_pushliteral(L, "something that came in the clear is unread");
  }
  handle->socket = NULL;
  socket_free(s);
  return 2;
}

void tcp_add_tls(lua_State *L) { handle_add_waiting(L, HANDLE_SOCKET, "start_tls", start, result); }
