// SPDX-License-Identifier: Apache-2.0
// failure: the failure table (base/error.h) as policies see it: methods for its columns, and the field
// `retry`. Setting it in fail_to_connect or error_while_proxy writes directly into the exchange's outcome,
// so nothing has to be read back from Lua.
#include "lua/api/failure.h"

#include <string.h>

#include "lua/api/session.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/script.h"
#include "lua/vm/token.h"
#include "exchange/exchange.h"

/* Its environment has the token of its exchange, at 1. */
struct failure {
  struct handle handle;
  enum error error;
};

void failure_push(lua_State *L, const struct script *script, enum error error) {
  if (error == ERROR_NONE) {
    lua_pushnil(L);
    return;
  }
  struct failure *failure = handle_new(L, HANDLE_FAILURE, sizeof *failure);
  failure->error = error;
  lua_createtable(L, 1, 0);
  token_push(L, script, TOKEN_SESSION);
  lua_rawseti(L, -2, 1);
  lua_setfenv(L, -2);
}

/* Of the failure that is argument 1. -0 +0 */
static struct exchange *check_exchange(lua_State *L) {
  handle_check(L, 1, HANDLE_FAILURE);
  lua_getfenv(L, 1);
  lua_rawgeti(L, -1, 1);
  struct exchange *x = session_check(L, -1);
  lua_pop(L, 2);
  return x;
}

/* What happens if the policy does not decide. */
static bool is_retryable(const struct exchange *x, enum error error) {
  const struct error_info *info = error_info(error);
  if (info->retry == RETRY_ALWAYS || x->error == ERROR_ANSWERED_ERROR) return true;
  if (!x->now.up.copy.overflowed && exchange_set_retries(x, error)) return true;
  return info->retry == RETRY_REUSED && x->now.reused && !x->now.up.copy.overflowed &&
         method_is_idempotent(x->request.method);
}

/* -0 +0 */
static bool is_retry(lua_State *L) {
  return lua_type(L, 2) == LUA_TSTRING && strcmp(lua_tostring(L, 2), "retry") == 0;
}

/* -0 +0 */
static const struct error_info *check(lua_State *L) {
  return error_info(((struct failure *)handle_check(L, 1, HANDLE_FAILURE))->error);
}

/* -1 +1 */
static int kind(lua_State *L) {
  lua_pushstring(L, check(L)->name);
  return 1;
}
/* -1 +1 */
static int side(lua_State *L) {
  lua_pushstring(L, error_side_name(check(L)->side));
  return 1;
}
/* -1 +1 */
static int text(lua_State *L) {
  lua_pushstring(L, check(L)->text);
  return 1;
}
/* Of an answer, its own: the client gets it if no other attempt is made. -1 +1 */
static int status(lua_State *L) {
  const struct error_info *info = check(L);
  unsigned answered = info == error_info(ERROR_ANSWERED_ERROR) ? check_exchange(L)->response.status : 0;
  lua_pushinteger(L, answered ? answered : info->status);
  return 1;
}
/* -1 +1 */
static int retryable(lua_State *L) {
  lua_pushboolean(
      L, is_retryable(check_exchange(L), ((struct failure *)handle_check(L, 1, HANDLE_FAILURE))->error));
  return 1;
}

/* error.retry: what was set, else nil; anything else is a method. -2 +1 */
static int read_field(lua_State *L) {
  handle_check(L, 1, HANDLE_FAILURE);
  lua_pushvalue(L, 2);
  lua_rawget(L, lua_upvalueindex(1));
  if (!is_retry(L)) return 1;
  const struct exchange *x = check_exchange(L);
  if (x->outcome.decides_retry) lua_pushboolean(L, x->outcome.retry);
  return 1;
}

/* error.retry = true | false -3 +0 */
static int set(lua_State *L) {
  struct exchange *x = check_exchange(L);
  if (!is_retry(L)) return luaL_error(L, "of an error only the field 'retry' can be set");
  session_phase(L, x, PHASE(fail_to_connect) | PHASE(error_while_proxy), "error.retry");
  luaL_checktype(L, 3, LUA_TBOOLEAN);
  x->outcome.decides_retry = true;
  x->outcome.retry = lua_toboolean(L, 3);
  return 0;
}

static const luaL_Reg methods[] = {
    {"kind", kind},     {"side", side},           {"text", text},
    {"status", status}, {"retryable", retryable}, {NULL, NULL},
};

static const luaL_Reg metamethods[] = {{"__newindex", set}, {"__tostring", text}, {NULL, NULL}};

void open_failure(lua_State *L) {
  handle_define(L, HANDLE_FAILURE, "perilune.error", methods, metamethods);
  handle_wrap_index(L, HANDLE_FAILURE, read_field);
}
