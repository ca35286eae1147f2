// SPDX-License-Identifier: Apache-2.0
// peer: makes an interned struct peer from the table that upstream_peer returns. Nothing is copied: the options
// are slices of the table's strings, and peer_intern keeps what it needs.
#include "lua/api/peer.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "http/lenient.h"
#include "lua/api/backends.h"
#include "lua/api/options.h"
#include "lua/vm/handle.h"
#include "lua/vm/hook_failure.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/results.h"
#include "lua/vm/script.h"
#include "lua/vm/task.h"
#include "lua/vm/vm.h"
#include "exchange/describe.h"
#include "exchange/exchange.h"
#include "exchange/peer.h"
#include "net/tls_identity.h"

static const char *const version_words[] = {"TLSv1.2", "TLSv1.3", NULL};
static const char *const alpn_words[] = {"http/1.1", "none", "h2", "h2,http/1.1", NULL};

#define PEER(name, kind, member)                                                                             \
  { name, kind, offsetof(struct peer_options, member), NULL }
static const struct option options[] = {
    PEER("address", OPTION_TEXT, address),
    OPTIONS_TLS(struct peer_options),
    PEER("certificate", OPTION_FILE, certificate),
    PEER("key", OPTION_FILE, key),
    {"min_version", OPTION_WORD, offsetof(struct peer_options, min_version), version_words},
    {"alpn", OPTION_WORD, offsetof(struct peer_options, alpn), alpn_words},
    PEER("http2", OPTION_FLAG, http2),
    {"family", OPTION_WORD, offsetof(struct peer_options, family), option_families},
    PEER("group", OPTION_TEXT, group),
    PEER("connect_timeout", OPTION_SECONDS, connect_timeout_ms),
    PEER("handshake_timeout", OPTION_SECONDS, handshake_timeout_ms),
    PEER("first_byte_timeout", OPTION_SECONDS, first_byte_timeout_ms),
    PEER("read_timeout", OPTION_SECONDS, read_timeout_ms),
    PEER("send_timeout", OPTION_SECONDS, send_timeout_ms),
    PEER("idle_timeout", OPTION_POOL_SECONDS, idle_timeout_ms),
    PEER("max_idle", OPTION_POSITIVE, max_idle),
    PEER("ping_interval", OPTION_SECONDS, ping_interval_ms),
    PEER("ping_timeout", OPTION_SECONDS, ping_timeout_ms),
    PEER("hedge", OPTION_SECONDS, hedge_ms),
    PEER("proxy_protocol", OPTION_SMALL, proxy_protocol),
    PEER("lenient", OPTION_LENIENT, lenient),
};
static const struct option_hint hints[] = {
    {"h2c", "a peer without TLS is asked over HTTP/2 with http2 = true"},
    {"h2", "write http2 = true, or by TLS alpn = \"h2\""},
    {"url", "write address = \"host:port\", and tls = true for https"},
    {"host", "write address = \"host:port\""},
    {"port", "write address = \"host:port\""},
    {"timeout", "there are connect_timeout, first_byte_timeout, read_timeout and send_timeout"},
    {"ssl", "write tls = true"},
    {"compress", "it is an option of perilune.listen"},
    {NULL, NULL}};
static const struct option_set option_set = OPTION_SET_HINTS(options, hints);

static __attribute__((cold)) void refuse(const struct task *task, const char *why) {
  hook_failure_tell(task, "expected a peer, a table like { address = \"1.2.3.4:443\", tls = true }: %s", why);
  task->script->x->outcome.error = ERROR_BAD_PEER;
}

/* A result without an address. That select() has found no backend is the more likely cause than a slip. */
static __attribute__((cold)) void no_address(const struct task *task, const char *why) {
  if (task->refusal == ERROR_NONE) {
    refuse(task, why);
    return;
  }
  char request[DESCRIBE_BYTES];
  log_about(LOG_WARN, str_of(task->refused), "%s%s", task->refused,
            exchange_describe(task->script->x, request));
  task->script->x->outcome.error = task->refusal;
}

/* A certificate is checked for a name. That SNI or TLS options are ignored without TLS would be a trap. */
static const char *contradiction(const struct peer_options *o) {
  bool may_share = o->http2 || o->alpn == PEER_ALPN_HTTP2 || o->alpn == PEER_ALPN_BOTH;
  const char *fault = tls_files_fault(o->certificate, o->key);
  if (fault) return fault;
  if (o->tls && o->http2)
    return "http2 = true is for peers without TLS; with tls = true, write alpn = \"h2\"";
  if (may_share && o->proxy_protocol)
    return "proxy_protocol names one client for each connection, and HTTP/2 has many on one";
  if (o->tls) return NULL;
  if (o->sni.len || o->verify_name.len || o->ca.len || o->no_verify || o->certificate.len)
    return "sni, verify, verify_name, ca, certificate and key are for TLS, and tls = true is missing";
  if (o->lenient & LENIENT_NO_CLOSE_NOTIFY)
    return "lenient.no_close_notify is for TLS, and tls = true is missing";
  return o->min_version || o->alpn ? "min_version and alpn are for TLS, and tls = true is missing" : NULL;
}

static void intern(const struct task *task, const struct peer_options *wanted) {
  struct script *script = task->script;
  struct exchange *x = script->x;
  const char *why = contradiction(wanted);
  if (!why) x->outcome.peer = peer_intern(x->proxy, wanted, &why);
  if (!x->outcome.peer) {
    refuse(task, arena_printf(&x->arena, "'%s': %s%c", wanted->address.ptr, why, '\0').ptr);
    return;
  }
  x->outcome.hedge_ms = wanted->hedge_ms;
  x->now.address = arena_dup(&x->arena, wanted->address);
  backends_lease(script, wanted->address);
}

/* Slips that have a better answer than the options; the table is 2. NULL: none of them. -0 +1 | -0 +0 */
static const char *slip(lua_State *L) {
  lua_rawgeti(L, 2, 1);
  if (lua_type(L, -1) == LUA_TSTRING)
    return lua_pushfstring(L, "a peer is no list: write { address = '%s' }, or return the text alone",
                           lua_tostring(L, -1));
  lua_pop(L, 1);
  lua_getfield(L, 2, "address");
  if (lua_type(L, -1) == LUA_TTABLE)
    return "'address' must be a string; got a table: of a set, write set:select()";
  lua_pop(L, 1);
  return NULL;
}

/* Says which option does not fit: that text is Lua's, so this runs in protected mode. -1 +0 */
static int explain(lua_State *L) {
  struct task *task = lua_touserdata(L, 1);
  struct peer_options unwanted;
  lua_pushvalue(task->co, 1);
  lua_xmove(task->co, L, 1);
  const char *why = slip(L);
  if (why)
    refuse(task, why);
  else if (!options_read(L, 2, &option_set, &unwanted, &task->script->x->arena))
    refuse(task, lua_tostring(L, -1));
  return 0;
}

/* What cannot even be explained for want of memory is a failure, too. */
static __attribute__((cold)) void refuse_option(struct task *task) {
  task->script->x->outcome.error = ERROR_BAD_PEER;
  lua_settop(task->co, 1);
  free(task_protect(task->vm, explain, task));
}

static __attribute__((cold)) void refuse_type(const struct task *task) {
  char why[64];
  snprintf(why, sizeof why, "got a %s value", luaL_typename(task->co, 1));
  no_address(task, why);
}

void peer_take(struct task *task) {
  struct exchange *x = task->script->x;
  lua_State *co = task->co;
  struct peer_options wanted = {0};
  if (x->answer) { /* return session:respond {...} */
    result_is_answer(task);
    return;
  }
  if (lua_gettop(co) != 1) lua_settop(co, 1);
  int type = lua_type(co, 1);
  if (type == LUA_TSTRING)
    wanted.address.ptr = lua_tolstring(co, 1, &wanted.address.len);
  else if (type != LUA_TTABLE)
    refuse_type(task);
  else if (!options_take(co, 1, &option_set, &wanted, &x->arena))
    refuse_option(task);
  if (x->outcome.error != ERROR_NONE) return;
  if (str_is_empty(wanted.address))
    no_address(task, "'address' is missing");
  else
    intern(task, &wanted);
}

/* --- to Lua --------------------------------------------------------------------------------------------- */

void peer_push(lua_State *L, const struct peer *peer) {
  if (!peer) {
    lua_pushnil(L);
    return;
  }
  lua_createtable(L, 0, 4);
  handle_set_metatable(L, HANDLE_PEER);
  set_text_if_any(L, "address", peer->options.address);
  set_text_if_any(L, "sni", peer->options.sni);
  set_text_if_any(L, "group", peer->options.group);
  set_flag(L, "tls", peer->options.tls);
}

/* -1 +1 */
static int to_string(lua_State *L) {
  lua_getfield(L, 1, "address");
  return 1;
}

static const luaL_Reg no_methods[] = {{NULL, NULL}};
static const luaL_Reg metamethods[] = {{"__tostring", to_string}, {NULL, NULL}};

/* core.peer_fault(table): what is wrong with the options of a peer, of which there may be more; nil: nothing. For
 * `perilune check`. -1 +1 */
static int peer_fault(lua_State *L) {
  struct peer_options unwanted;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_pushvalue(L, 1); /* slip looks at 2 */
  const char *why = slip(L);
  if (!why) return options_fault(L, 1, &option_set, &unwanted);
  lua_pushstring(L, why);
  return 1;
}

static const luaL_Reg functions[] = {{"peer_fault", peer_fault}, {NULL, NULL}};

void open_peer(lua_State *L) {
  handle_define(L, HANDLE_PEER, "perilune.peer", no_methods, metamethods);
  luaL_register(L, NULL, functions);
}
