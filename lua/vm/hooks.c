// SPDX-License-Identifier: Apache-2.0
// hooks: calls the policy's functions for the proxy, and reads their results into x->outcome. Errors are not caught
// here, so nothing that reads a result may raise one.
#include "lua/vm/hooks.h"

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/nearest.h"
#include "lua/api/connection.h"
#include "lua/api/peer.h"
#include "lua/vm/body.h"
#include "lua/vm/cache_results.h"
#include "lua/vm/certificate.h"
#include "lua/vm/ctx.h"
#include "lua/vm/hook_call.h"
#include "lua/vm/hook_failure.h"
#include "lua/vm/results.h"
#include "lua/vm/script.h"
#include "lua/vm/task.h"
#include "lua/vm/token.h"
#include "lua/vm/vm.h"
#include "exchange/describe.h"
#include "exchange/exchange.h"
#include "exchange/stream.h"
#include "exchange/streamed_answer.h"

/* What is made of the results (lua/vm/results.h). Those of body hooks are body.c's, that of certificate is
 * certificate.c's. */
static void (*const leave[HOOK_COUNT])(struct task *task) = {
    [HOOK_early_request_filter] = result_of_filter,
    [HOOK_request_filter] = result_of_filter,
    [HOOK_request_cache_filter] = result_of_request_cache_filter,
    [HOOK_cache_key_callback] = result_of_cache_text,
    [HOOK_cache_vary_filter] = result_of_cache_text,
    [HOOK_cache_hit_filter] = result_of_cache_hit_filter,
    [HOOK_cache_miss] = result_of_filter,
    [HOOK_proxy_upstream_filter] = result_of_upstream_filter,
    [HOOK_upstream_peer] = peer_take,
    [HOOK_fail_to_connect] = result_of_filter,
    [HOOK_connected_to_upstream] = result_of_filter,
    [HOOK_upstream_request_filter] = result_of_filter,
    [HOOK_upstream_response_filter] = result_of_filter,
    [HOOK_response_cache_filter] = result_of_response_cache_filter,
    [HOOK_should_serve_stale] = result_of_should_serve_stale,
    [HOOK_response_filter] = result_of_filter,
    [HOOK_error_while_proxy] = result_of_filter,
    [HOOK_fail_to_proxy] = result_of_fail_to_proxy,
    [HOOK_answer_filter] = result_of_silent_hook,
    [HOOK_logging] = result_of_silent_hook,
};

/* --- the life of an exchange ---------------------------------------------------------------------------- */

static void begin(struct exchange *x) {
  struct script *script = arena_zalloc(&x->arena, sizeof *script);
  script->x = x;
  script->vm = script_hooks(x->hooks)->vm;
  script->connection = connection_hold(script->vm, x->is_shadow ? NULL : x->stream->downstream);
  script->is_seated = seat_take(&script->vm->seats, script);
  x->script = script;
}

static void cancel(struct exchange *x) {
  struct script *script = x->script;
  if (script->task) task_free(script->task);
  script->task = NULL;
}

static void end(struct exchange *x) {
  struct script *script = x->script;
  cancel(x);
  streamed_answer_cut(x);
  for (struct at_end *at_end = script->at_end; at_end; at_end = at_end->next) at_end->run(at_end);
  connection_release(script->connection);
  ctx_drop(script);
  script->vm->use.lent_bytes -= script->lent_bytes;
  if (script->is_seated) seat_leave(&script->vm->seats, script);
  x->script = NULL;
}

static const struct headers *promised(const struct exchange *x) {
  return ((const struct script *)x->script)->promised;
}

struct id_reading {
  struct script *script;
  char *id; /* borrowed: room for REQUEST_ID_BYTES */
};

/* ctx.request_id, which perilune.request_id sets; no metamethods. -1 +0 */
static int get_id(lua_State *L) {
  struct id_reading *reading = lua_touserdata(L, 1);
  size_t length;
  ctx_push(L, reading->script);
  lua_pushliteral(L, "request_id");
  lua_rawget(L, -2);
  if (lua_type(L, -1) != LUA_TSTRING) return 0;
  const char *id = lua_tolstring(L, -1, &length);
  str_fit(reading->id, REQUEST_ID_BYTES, (struct str){id, length});
  return 0;
}

/* Not while Lua runs: the state that this would call into is in use then. */
static void read_id(struct exchange *x, char id[REQUEST_ID_BYTES]) {
  struct script *script = x->script;
  struct id_reading reading = {script, id};
  if (script && script->ctx && !script->vm->running) free(task_protect(script->vm, get_id, &reading));
}

/* --- running --------------------------------------------------------------------------------------------- */

/* What answer_filter has changed before it failed does not count: the head goes out as it was. */
static __attribute__((cold)) void take_back(struct script *script) {
  script->x->response.headers = *script->given_fields;
}

static enum hook_status finish(struct script *script, struct task *task, enum task_status status) {
  struct exchange *x = script->x;
  script->task = NULL;
  bool has_left = status == TASK_FAILED && hook_has_left(task);
  if (has_left) lua_settop(task->co, 0);
  if (status == TASK_FAILED && !has_left)
    hook_failure_take(task, &script_hooks(x->hooks)->each[task->hook], &x->outcome);
  else if (leave[task->hook])
    leave[task->hook](task);
  if (x->outcome.error && task->hook == HOOK_answer_filter) take_back(script);
  task_free(task);
  return x->outcome.error ? HOOK_FAILED : HOOK_DONE;
}

static void on_task_end(struct task *task, enum task_status status) {
  struct script *script = task->script;
  finish(script, task, status);
  exchange_wake(script->x);
}

static __attribute__((cold)) enum hook_status fail(struct exchange *x, struct task *task) {
  if (task) task_free(task);
  x->outcome.error = ERROR_SCRIPT;
  return HOOK_FAILED;
}

static enum hook_status run(struct exchange *x, enum hook hook) {
  struct script *script = x->script;
  struct task *task = hook_call_new(script, hook, script, on_task_end);
  enum task_status status = task ? hook_call_run(task) : TASK_REFUSED;
  if (status == TASK_REFUSED) return fail(x, task);
  if (status != TASK_WAITS) return finish(script, task, status);
  script->task = task;
  return HOOK_WAIT;
}

#define X(name)                                                                                              \
  static enum hook_status run_##name(struct exchange *x) { return run(x, HOOK_##name); }
HOOK_TABLE(X)
#undef X

/* Of the one hook that leaves no trace where it fails. */
static enum hook_status run_looking_back(struct exchange *x) {
  struct script *script = x->script;
  script->given_fields = arena_alloc(&x->arena, sizeof *script->given_fields);
  headers_copy(script->given_fields, &x->response.headers, &x->arena);
  return run_answer_filter(x);
}

/* In the place of upstream_peer, where a policy without it has answered nothing: it has a request_filter, see
 * lua/api/listen.c. */
static __attribute__((cold)) enum hook_status run_without_peer(struct exchange *x) {
  const char *place = script_hooks(x->hooks)->each[HOOK_request_filter].place;
  char request[DESCRIBE_BYTES];
  log_about(LOG_ERROR, str_of(place),
            "%s: request_filter gave no answer, and there is no upstream_peer: end it with return "
            "session:respond { ... "
            "}, or define upstream_peer%s",
            place, exchange_describe(x, request));
  x->outcome.error = ERROR_BAD_PEER;
  return HOOK_FAILED;
}

/* --- reading a table of hooks --------------------------------------------------------------------------- */

/* Raises at the line where the function on top of the stack is defined: that is what has to be mended. -0 +0 */
static void raise_there(lua_State *L, const char *text) {
  lua_Debug info;
  lua_pushvalue(L, -1);
  lua_getinfo(L, ">S", &info);
  if (info.what[0] == 'C') {
    luaL_error(L, "%s", text);
    return;
  }
  lua_pushfstring(L, "%s:%d: %s", info.short_src, info.linedefined, text);
  lua_error(L);
}

/* The name and its function are on top. -0 +0 */
static void refuse_hook(lua_State *L, const char *name) {
  struct nearest n = nearest_to(name);
  luaL_Buffer names;
  int function = lua_gettop(L);
  for (enum hook hook = 0; hook < HOOK_COUNT; hook++) nearest_offer(&n, hook_name(hook));
  if (n.found) {
    const char *text = lua_pushfstring(
        L, "perilune.listen: there is no hook '%s': did you mean %s? (keep helper functions in locals)", name,
        n.found);
    lua_pushvalue(L, function);
    raise_there(L, text);
  }
  luaL_buffinit(L, &names);
  for (enum hook hook = 0; hook < HOOK_COUNT; hook++) {
    if (hook) luaL_addstring(&names, ", ");
    luaL_addstring(&names, hook_name(hook));
  }
  luaL_pushresult(&names);
  const char *text = lua_pushfstring(
      L, "perilune.listen: there is no hook '%s' (keep helper functions in locals); there are %s", name,
      lua_tostring(L, -1));
  lua_pushvalue(L, function);
  raise_there(L, text);
}

/* policy.decod = true: the one field of a policy that is no function. Others may be the policy's own. -0 +0 */
static void refuse_flag(lua_State *L, const char *name) {
  struct nearest n = nearest_to(name);
  nearest_offer(&n, "decode");
  if (n.found && strcmp(name, "decode") != 0)
    luaL_error(L,
               "perilune.listen: there is no '%s' among the hooks: did you mean decode? (keep fields of your "
               "own in locals)",
               name);
}

/* A misspelt hook would never be called and never be missed. -0 +0 */
static void refuse_unknown(lua_State *L, int index) {
  lua_pushnil(L);
  while (lua_next(L, index)) {
    bool is_named = lua_type(L, -2) == LUA_TSTRING, is_known = !is_named || !lua_isfunction(L, -1);
    if (is_named && lua_isboolean(L, -1)) refuse_flag(L, lua_tostring(L, -2));
    for (enum hook hook = 0; hook < HOOK_COUNT && !is_known; hook++)
      is_known = strcmp(hook_name(hook), lua_tostring(L, -2)) == 0;
    if (!is_known) refuse_hook(L, lua_tostring(L, -2));
    lua_pop(L, 1);
  }
}

/* "policy.lua:12" of the function on top of the stack. -0 +0 */
static const char *place_of(lua_State *L, struct arena *arena) {
  lua_Debug info;
  lua_pushvalue(L, -1);
  lua_getinfo(L, ">S", &info);
  return arena_printf(arena, "%s:%d%c", info.short_src, info.linedefined, '\0').ptr;
}

/* How many arguments the function on top of the stack has names for, at most `all`. -0 +0 */
static int arguments_of(lua_State *L, int all) {
  int top = lua_gettop(L), count = all;
  lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
  lua_getfield(L, -1, "debug");
  lua_getfield(L, -1, "getinfo");
  lua_pushvalue(L, top);
  lua_pushliteral(L, "u");
  lua_call(L, 2, 1);
  lua_getfield(L, -1, "isvararg");
  lua_getfield(L, -2, "nparams");
  if (!lua_toboolean(L, -2)) count = (int)lua_tointeger(L, -1);
  lua_settop(L, top);
  return count < all ? count : all;
}

/* function policy:request_filter(session, ctx) would get the session as self. The function is on top. -0 +0 */
static void refuse_colon(lua_State *L, enum hook hook) {
  const char *first = lua_iscfunction(L, -1) ? NULL : lua_getlocal(L, NULL, 1);
  const char *second = first ? lua_getlocal(L, NULL, 2) : NULL;
  if (!second || strcmp(first, "self") != 0 || strcmp(second, "session") != 0) return;
  const char *text = lua_pushfstring(
      L,
      "perilune.listen: hook '%s' is defined with a colon, so it would get the session as self: write "
      "function policy.%s(session, ...)",
      hook_name(hook), hook_name(hook));
  lua_pushvalue(L, -2);
  raise_there(L, text);
}

/* The hook's function is on top. -1 +0 */
static void add_hook(lua_State *L, struct lua_hooks *hooks, enum hook hook, struct arena *arena) {
  struct lua_hook *added = &hooks->each[hook];
  int all = hook_call_arguments(hook);
  refuse_colon(L, hook);
  added->place = place_of(L, arena);
  added->arguments = (unsigned char)arguments_of(L, all);
  for (int i = 0; i < added->arguments; i++) {
    added->has_ctx |= hook_call_is_ctx(hook, i);
    added->needs_look |= hook_call_needs_look(hook, i);
  }
  added->function = luaL_ref(L, LUA_REGISTRYINDEX);
}

/* Takes the hook of that name, if the table at `index` has it. -0 +0 */
static bool read_hook(lua_State *L, int index, struct lua_hooks *hooks, enum hook hook, struct arena *arena) {
  lua_getfield(L, index, hook_name(hook));
  if (lua_isnil(L, -1)) {
    lua_pop(L, 1);
    return false;
  }
  if (!lua_isfunction(L, -1))
    luaL_error(L, "perilune.listen: hook '%s' must be a function, got a %s value", hook_name(hook),
               luaL_typename(L, -1));
  add_hook(L, hooks, hook, arena);
  return true;
}

/* policy.decode. -0 +0 */
static bool read_decode(lua_State *L, int index) {
  lua_getfield(L, index, "decode");
  if (!lua_isnil(L, -1) && !lua_isboolean(L, -1))
    luaL_error(L, "perilune.listen: 'decode', among the hooks, must be true or false, got a %s value",
               luaL_typename(L, -1));
  bool decodes = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return decodes;
}

struct lua_hooks *hooks_read(lua_State *L, int index, struct arena *arena) {
  struct lua_hooks *hooks = arena_zalloc(arena, sizeof *hooks);
  hooks->vm = vm_of(L);
  hooks->hooks.policy = hooks->vm->policy;
  hooks->hooks.begin = begin;
  hooks->hooks.cancel = cancel;
  hooks->hooks.read_id = read_id;
  hooks->hooks.promised = promised;
  hooks->hooks.cancel_piece = body_cancel;
  hooks->hooks.cancel_certificate = certificate_cancel;
  hooks->hooks.end = end;
  hooks->hooks.decodes = read_decode(L, index);
  refuse_unknown(L, index);
#define X(name)                                                                                              \
  if (read_hook(L, index, hooks, HOOK_##name, arena)) hooks->hooks.name = run_##name;
  HOOK_TABLE(X)
#undef X
  hooks->hooks.asks_nobody = !hooks->hooks.upstream_peer;
  if (!hooks->hooks.upstream_peer) hooks->hooks.upstream_peer = run_without_peer;
  if (hooks->hooks.answer_filter) hooks->hooks.answer_filter = run_looking_back;
#define X(name)                                                                                              \
  if (read_hook(L, index, hooks, HOOK_##name, arena)) hooks->hooks.name = body_run;
  BODY_HOOK_TABLE(X)
#undef X
#define X(name)                                                                                              \
  if (read_hook(L, index, hooks, HOOK_##name, arena)) hooks->hooks.name = certificate_run;
  GREETING_HOOK_TABLE(X)
#undef X
  return hooks;
}
