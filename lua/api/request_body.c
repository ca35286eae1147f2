// SPDX-License-Identifier: Apache-2.0
// request_body: session:read_body and set_body.
#include <lauxlib.h>
#include <lua.h>

#include "lua/api/session.h"
#include "lua/vm/handle.h"
#include "lua/vm/script.h"
#include "lua/vm/task.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"
#include "exchange/exchange.h"
#include "exchange/shadow.h"

#define EARLY                                                                                                \
  (PHASE(early_request_filter) | PHASE(request_filter) | PHASE(proxy_upstream_filter) | PHASE(upstream_peer))

static struct exchange *check(lua_State *L, const char *call) {
  struct exchange *x = session_check(L, 1);
  session_phase(L, x, EARLY, call);
  if (sink_is_there(&x->now.up.to))
    handle_raise(L, "%s comes too late: the body is on its way to a peer", call);
  return x;
}

static void on_body(struct exchange *x) {
  struct script *script = x->script;
  struct task *reader = script->reader;
  script->reader = NULL;
  task_wake(reader);
}

static void cancel(void *what) {
  struct script *script = what;
  script->reader = NULL;
  exchange_cancel_body(script->x);
}

/* session:read_body([limit]): parks the task until the body is here. -2 +0 (yields) */
int session_read_body(lua_State *L) {
  struct exchange *x = check(L, "session:read_body");
  struct script *script = x->script;
  lua_Number limit = lua_isnoneornil(L, 2) ? 1 << 20 : lua_type(L, 2) == LUA_TNUMBER ? lua_tonumber(L, 2) : 0;
  if (!(limit >= 1 && limit <= 1e10))
    return handle_raise(L, "session:read_body: the limit must be a number of bytes, 1 or more");
  shadow_lacks_body(x);
  if (exchange_has_body(x)) return 0;
  if (x->sent.status)
    return handle_raise(L,
                        "session:read_body comes too late: the response has begun, so read the body before");
  if (script->reader) return handle_raise(L, "session:read_body: another task reads it already");
  script->reader = task_to_park(L, "session:read_body");
  exchange_read_body(x, (size_t)limit, on_body);
  return task_wait(L, cancel, script);
}

/* The whole, "" where there is none. -2 +1 */
int session_body(lua_State *L) {
  const struct exchange *x = check(L, "session:read_body");
  if (!exchange_has_body(x)) return task_not_done(L, "session:read_body");
  struct str body = exchange_body(x);
  lua_pushlstring(L, body.ptr, body.len);
  return 1;
}

/* session:set_body(text): what all attempts send instead. -2 +0 */
int session_set_body(lua_State *L) {
  struct exchange *x = check(L, "session:set_body");
  struct str text = text_at(L, 2);
  if (!exchange_has_body(x))
    return handle_raise(L, "session:set_body: read the body first, with session:read_body");
  exchange_set_body(x, text);
  return 0;
}
