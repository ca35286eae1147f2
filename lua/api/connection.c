// SPDX-License-Identifier: Apache-2.0
// connection: session:connection_ctx(), and facts of the client's connection. The table of connection_ctx has three
// owners: the connection; its exchange, which may end later; and the VM, since after a reload the connection
// gets a new table. Each of them may end first, and tells the other two.
#include "lua/api/connection.h"

#include <stdlib.h>

#include "base/memory.h"
#include "lua/api/session.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/script.h"
#include "lua/vm/token.h"
#include "lua/vm/vm.h"
#include "net/addr.h"
#include "net/tls.h"
#include "downstream/downstream.h"
#include "exchange/exchange.h"
#include "exchange/stream.h"

struct lua_connection {
  struct attachment attachment;  /* first */
  struct list link;              /* in vm->connections */
  struct vm *vm;                 /* borrowed */
  struct downstream *downstream; /* borrowed; NULL: closed */
  unsigned holders;              /* exchanges */
  int ref;                       /* registry: the table */
};

/* --- life ----------------------------------------------------------------------------------------------- */

static void dispose(struct lua_connection *c) {
  list_remove(&c->link);
  luaL_unref(c->vm->L, LUA_REGISTRYINDEX, c->ref);
  free(c);
}

static void on_close(struct attachment *attachment) {
  struct lua_connection *c = (struct lua_connection *)attachment;
  c->downstream->attachment = NULL;
  c->downstream = NULL;
  if (c->holders == 0) dispose(c);
}

/* One that another vm has attached is of no use here. */
static struct lua_connection *find(const struct vm *vm, const struct downstream *d) {
  if (!d || !d->attachment || d->attachment->on_close != on_close) return NULL;
  struct lua_connection *c = (struct lua_connection *)d->attachment;
  return c->vm == vm ? c : NULL;
}

struct lua_connection *connection_hold(struct vm *vm, struct downstream *downstream) {
  struct lua_connection *c = find(vm, downstream);
  if (c) c->holders++;
  return c;
}

void connection_release(struct lua_connection *c) {
  if (c && --c->holders == 0 && !c->downstream) dispose(c);
}

void connections_free(struct vm *vm) {
  LIST_EACH(node, &vm->connections) {
    struct lua_connection *c = LIST_ENTRY(node, struct lua_connection, link);
    if (c->downstream) c->downstream->attachment = NULL;
    dispose(c);
  }
}

static struct lua_connection *attach(struct vm *vm, struct downstream *d, int ref) {
  struct lua_connection *c = memory_zalloc(sizeof *c);
  if (d->attachment) d->attachment->on_close(d->attachment);
  c->attachment.on_close = on_close;
  c->vm = vm;
  c->downstream = d;
  c->ref = ref;
  d->attachment = &c->attachment;
  list_push_front(&vm->connections, &c->link);
  return c;
}

/* --- methods of the session. -1 +1 ---------------------------------------------------------------------- */

static struct exchange *check(lua_State *L) { return session_check(L, 1); }

/* NULL: the client is gone */
static struct downstream *downstream_of(const struct exchange *x) {
  return x->stream ? x->stream->downstream : NULL;
}

/* session:connection_ctx(): the same table for all exchanges of the connection; where the client has gone,
 * and nobody had asked for it before, an empty one */
static int connection_ctx(lua_State *L) {
  struct exchange *x = check(L);
  struct script *script = x->script;
  struct downstream *d = downstream_of(x);
  if (!script->connection && d && !x->is_shadow) {
    lua_newtable(L);
    if (!find(script->vm, d)) attach(script->vm, d, luaL_ref(L, LUA_REGISTRYINDEX));
    script->connection = connection_hold(script->vm, d);
  }
  if (script->connection)
    lua_rawgeti(L, LUA_REGISTRYINDEX, script->connection->ref);
  else
    lua_newtable(L);
  return 1;
}

/* -0 +0 */
static void set_client_certificate(lua_State *L, const struct conn *conn) {
  struct tls_certificate facts;
  if (!tls_client_certificate(conn, &facts)) return;
  lua_createtable(L, 0, 4);
  set_text_if_any(L, "subject", str_of(facts.subject));
  set_text_if_any(L, "issuer", str_of(facts.issuer));
  set_text_if_any(L, "serial", str_of(facts.serial));
  set_text_if_any(L, "fingerprint", str_of(facts.fingerprint));
  lua_setfield(L, -2, "client");
}

/* -0 +1 */
static int push_tls(lua_State *L, const struct conn *conn) {
  if (!conn || !conn->tls) return push_text_or_nil(L, (struct str){0});
  lua_createtable(L, 0, 3);
  set_text_if_any(L, "version", tls_version(conn));
  set_text_if_any(L, "cipher", tls_cipher(conn));
  set_text_if_any(L, "server_name", tls_server_name(conn));
  set_flag(L, "resumed", tls_is_resumed(conn));
  set_client_certificate(L, conn);
  return 1;
}

/* session:tls(): { version, cipher, server_name, resumed, client = { subject, issuer, serial, fingerprint } } of the
 * client's connection; nil without TLS */
static int tls(lua_State *L) {
  const struct exchange *x = check(L);
  const struct downstream *d = downstream_of(x);
  return push_tls(L, d ? &d->conn : NULL);
}

/* session:client_ip(): without the port; "unix:" of a unix socket, "unknown" of a client that nobody knows */
static int client_ip(lua_State *L) { return push_text_or_nil(L, exchange_client_host(check(L))); }

/* session:server_address(): the one of ours that the client is connected to; nil once it is gone */
static int server_address(lua_State *L) {
  const struct exchange *x = check(L);
  struct sockaddr_storage name;
  struct addr addr;
  socklen_t length = sizeof name;
  char text[ADDR_TEXT];
  const struct downstream *d = downstream_of(x);
  if (!d || getsockname(d->conn.fd, (struct sockaddr *)&name, &length) != 0)
    return push_text_or_nil(L, (struct str){0});
  addr_from_socket(&addr, (const struct sockaddr *)&name, length);
  return push_text_or_nil(L, (struct str){text, addr_format(&addr, text)});
}

/* session:connection_requests(): how many came on the connection, this one included; nil once it is gone */
static int connection_requests(lua_State *L) {
  const struct exchange *x = check(L);
  const struct downstream *d = downstream_of(x);
  if (!d) return push_text_or_nil(L, (struct str){0});
  lua_pushinteger(L, (lua_Integer)d->requests);
  return 1;
}

static const luaL_Reg methods[] = {
    {"connection_ctx", connection_ctx},
    {"tls", tls},
    {"client_ip", client_ip},
    {"server_address", server_address},
    {"connection_requests", connection_requests},
    {NULL, NULL},
};

void open_connection(lua_State *L) { token_add_methods(L, methods); }
