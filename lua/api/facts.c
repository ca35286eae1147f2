// SPDX-License-Identifier: Apache-2.0
// facts: methods of a session about its attempts, times and sizes.
#include "lua/api/session.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/script.h"
#include "lua/vm/token.h"
#include "lua/vm/vm.h"
#include "net/timer.h"
#include "net/tls.h"
#include "exchange/cache.h"
#include "exchange/exchange.h"
#include "exchange/settings.h"
#include "upstream/upstream.h"

/* -0 +0 */
static struct exchange *check(lua_State *L) { return session_check(L, 1); }

/* --- attempts. -1 +1 ------------------------------------------------------------------------------------ */

/* session:retries_left(): how many further calls of upstream_peer there may be */
static int retries_left(lua_State *L) {
  const struct exchange *x = check(L);
  unsigned allowed = x->settings->max_retries + 1;
  lua_pushinteger(L, allowed > x->attempts ? (lua_Integer)(allowed - x->attempts) : 0);
  return 1;
}

/* session:last_failure(): the kind of what failed last, also where another attempt was made; nil: nothing did
 */
static int last_failure(lua_State *L) {
  const struct exchange *x = check(L);
  enum error error = x->error ? x->error : x->last_error;
  if (error == ERROR_NONE) return push_nil(L);
  lua_pushstring(L, error_info(error)->name);
  return 1;
}

/* session:upstream_tls(): { version, cipher } of the connection to the peer; nil before and after it, and
 * without TLS */
static int upstream_tls(lua_State *L) {
  const struct exchange *x = check(L);
  const struct call *call = x->now.call;
  if (!call || !x->now.connected || !call->upstream->conn.tls) return push_nil(L);
  lua_createtable(L, 0, 2);
  set_text_if_any(L, "version", tls_version(&call->upstream->conn));
  set_text_if_any(L, "cipher", tls_cipher(&call->upstream->conn));
  return 1;
}

/* --- times and sizes. -1 +1 ----------------------------------------------------------------------------- */

/* Seconds between two stamps; nothing where one is missing. -0 +0 */
static void set_time(lua_State *L, const char *name, uint64_t from, uint64_t to) {
  if (!from || to < from) return;
  lua_pushnumber(L, (lua_Number)(to - from) / 1000);
  lua_setfield(L, -2, name);
}

/* session:timings(): seconds, of the last attempt: { connect, first_byte, response, total } */
static int timings(lua_State *L) {
  const struct exchange *x = check(L);
  const struct attempt_times *t = &x->now.times;
  uint64_t now = x->times.ended ? x->times.ended : loop_now_ms(vm_of(L)->host.loop);
  lua_createtable(L, 0, 4);
  set_time(L, "connect", t->connect_begun, t->connected);
  set_time(L, "first_byte", t->connected, t->first_byte);
  set_time(L, "response", t->first_byte, now);
  set_time(L, "total", x->times.begun, now);
  return 1;
}

/* session:request_bytes(): of the request's body, so far */
static int request_bytes(lua_State *L) {
  lua_pushnumber(L, (lua_Number)check(L)->now.up.bytes);
  return 1;
}

/* --- the cache. -1 +1 ----------------------------------------------------------------------------------- */

/* session:cache_status(): "hit" and the like; nil: there is no cache */
static int cache_status(lua_State *L) {
  enum cache_result result = cache_result_of(check(L));
  if (result == CACHE_RESULT_NONE) return push_nil(L);
  lua_pushstring(L, cache_result_name(result));
  return 1;
}

/* -0 +1 */
static int push_age(lua_State *L, bool is_left) {
  double age_s, left_s;
  if (!cache_response_age(check(L), &age_s, &left_s)) return push_nil(L);
  lua_pushnumber(L, is_left ? left_s : age_s);
  return 1;
}

/* session:cache_age(), session:cache_ttl(): seconds of what is stored; nil: nothing is */
static int cache_age(lua_State *L) { return push_age(L, false); }
static int cache_ttl(lua_State *L) { return push_age(L, true); }

/* core.session_methods(): the table that lua/perilune/session.lua adds to -0 +1 */
static int session_methods(lua_State *L) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm_of(L)->token_methods);
  return 1;
}

/* core.status_reason(status): "Not Found" -0 +1 */
static int reason(lua_State *L) {
  struct str text = status_reason((unsigned)luaL_checkinteger(L, 1));
  lua_pushlstring(L, text.ptr, text.len);
  return 1;
}

static const luaL_Reg functions[] = {{"session_methods", session_methods},
                                     {"answer_fields", session_answer_fields},
                                     {"answer_instead", session_answer_instead},
                                     {"status_reason", reason},
                                     {NULL, NULL}};
static const luaL_Reg methods[] = {
    {"retries_left", retries_left}, {"last_failure", last_failure},   {"upstream_tls", upstream_tls},
    {"timings", timings},           {"request_bytes", request_bytes}, {"cache_status", cache_status},
    {"cache_age", cache_age},       {"cache_ttl", cache_ttl},         {NULL, NULL},
};

void open_facts(lua_State *L) {
  token_add_methods(L, methods);
  luaL_register(L, NULL, functions);
}
