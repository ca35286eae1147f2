// SPDX-License-Identifier: Apache-2.0
// hooks: calls the policy's functions for the proxy. A call is one resume of a coroutine that was used
// before: its arguments are put on its stack from here, and its results are read from there into x->outcome.
// Nothing of that may raise, for here errors are not caught: an argument that needs memory is made in
// protected mode, and a result is only looked at.
#include "lua/vm/hooks.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/nearest.h"
#include "lua/vm/body.h"
#include "lua/vm/cap.h"
#include "lua/vm/hook_failure.h"
#include "lua/vm/certificate.h"
#include "lua/api/connection.h"
#include "lua/api/failure.h"
#include "lua/api/peer.h"
#include "lua/vm/results.h"
#include "lua/vm/task.h"
#include "lua/vm/vm.h"
#include "proxy/exchange.h"

enum argument {
  SESSION = TOKEN_SESSION,
  UPSTREAM_REQUEST = TOKEN_UPSTREAM_REQUEST,
  RESPONSE = TOKEN_RESPONSE,
  TRAILERS = TOKEN_TRAILERS,
  REUSED,
  IS_LAST,
  CTX, /* from here on it may need memory */
  PEER,
  FAILURE,
  CHUNK,
  HELLO,
  END
};

/* What a hook is given and what is made of its results (lua/vm/results.h); those of body hooks are body.c's. */
static const struct {
  unsigned char arguments[6];
  void (*leave)(struct task *task);
} shapes[HOOK_COUNT] = {
    [HOOK_early_request_filter] = {{SESSION, CTX, END}, result_of_filter},
    [HOOK_request_filter] = {{SESSION, CTX, END}, result_of_filter},
    [HOOK_proxy_upstream_filter] = {{SESSION, CTX, END}, result_of_upstream_filter},
    [HOOK_upstream_peer] = {{SESSION, CTX, END}, peer_take},
    [HOOK_fail_to_connect] = {{SESSION, PEER, CTX, FAILURE, END}, result_of_filter},
    [HOOK_connected_to_upstream] = {{SESSION, REUSED, PEER, CTX, END}, result_of_filter},
    [HOOK_upstream_request_filter] = {{SESSION, UPSTREAM_REQUEST, CTX, END}, result_of_filter},
    [HOOK_upstream_response_filter] = {{SESSION, RESPONSE, CTX, END}, result_of_filter},
    [HOOK_response_filter] = {{SESSION, RESPONSE, CTX, END}, result_of_filter},
    [HOOK_error_while_proxy] = {{SESSION, PEER, FAILURE, CTX, REUSED, END}, result_of_filter},
    [HOOK_fail_to_proxy] = {{SESSION, FAILURE, CTX, END}, result_of_fail_to_proxy},
    [HOOK_answer_filter] = {{SESSION, RESPONSE, CTX, END}, result_of_silent_hook},
    [HOOK_logging] = {{SESSION, FAILURE, CTX, END}, result_of_silent_hook},
    [HOOK_request_body_filter] = {{SESSION, CHUNK, IS_LAST, CTX, END}, NULL},
    [HOOK_upstream_response_body_filter] = {{SESSION, CHUNK, IS_LAST, CTX, END}, NULL},
    [HOOK_response_body_filter] = {{SESSION, CHUNK, IS_LAST, CTX, END}, NULL},
    [HOOK_response_trailer_filter] = {{SESSION, TRAILERS, CTX, END}, NULL},
    [HOOK_certificate] = {{HELLO, CTX, END}, NULL}, /* pushed by certificate.c: there is no exchange */
};

static const struct lua_hooks *hooks_of(const struct exchange *x) {
  return (const struct lua_hooks *)x->hooks;
}

/* --- the life of an exchange ---------------------------------------------------------------------------- */

static void begin(struct exchange *x) {
  struct script *script = arena_zalloc(&x->arena, sizeof *script);
  script->x = x;
  script->vm = hooks_of(x)->vm;
  script->connection = connection_hold(script->vm, x->downstream);
  script->is_seated = seat_take(&script->vm->seats, script);
  x->script = script;
}

static __attribute__((cold)) void refuse_loan(lua_State *L, const struct vm *vm) {
  handle_raise(
      L,
      "not enough memory: the exchanges under way hold %d MiB of fields, targets and answers, the VM %d MiB",
      (int)(vm->use.lent_bytes >> 20), (int)(vm->memory.used_bytes >> 20));
}

void script_lend(lua_State *L, struct script *script, size_t bytes) {
  struct vm *vm = script->vm;
  size_t taken = vm->memory.used_bytes + vm->use.lent_bytes, most = cap_for_loan(vm, bytes);
  if (bytes > most || taken > most - bytes) refuse_loan(L, vm);
  script->lent_bytes += bytes;
  vm->use.lent_bytes += bytes;
}

static void cancel(struct exchange *x) {
  struct script *script = x->script;
  if (script->task) task_free(script->task);
  script->task = NULL;
}

static void end(struct exchange *x) {
  struct script *script = x->script;
  cancel(x);
  for (struct at_end *at_end = script->at_end; at_end; at_end = at_end->next) at_end->run(at_end);
  connection_release(script->connection);
  ctx_drop(script);
  script->vm->use.lent_bytes -= script->lent_bytes;
  if (script->is_seated) seat_leave(&script->vm->seats, script);
  x->script = NULL;
}

/* --- arguments ------------------------------------------------------------------------------------------ */

/* Can it be pushed without memory? */
static bool is_ready(const struct script *script, enum argument argument) {
  switch (argument) {
  case CTX: return ctx_is_ready(script);
  case PEER: return !script->x->now.peer;
  case FAILURE: return script->x->error == ERROR_NONE;
  case CHUNK:
  case HELLO: return false;
  case SESSION:
  case UPSTREAM_REQUEST:
  case RESPONSE:
  case TRAILERS:
  case REUSED:
  case IS_LAST:
  case END: break;
  }
  return true;
}

/* Other than a token. -0 +1 */
static void push_value(lua_State *L, const struct task *task, enum argument argument) {
  struct script *script = task->script;
  switch (argument) {
  case SESSION:
  case UPSTREAM_REQUEST:
  case RESPONSE:
  case TRAILERS: break;
  case REUSED: lua_pushboolean(L, script->x->now.reused); break;
  case IS_LAST: lua_pushboolean(L, ((const struct body_piece *)task->owner)->is_last); break;
  case CTX: ctx_push(L, script); break;
  case PEER: peer_push(L, script->x->now.peer); break;
  case FAILURE: failure_push(L, script, script->x->error); break;
  case CHUNK: body_push_chunk(L, task->owner); break;
  case HELLO:
  case END: break;
  }
}

/* -0 +1 */
static inline void push(lua_State *L, const struct task *task, enum argument argument) {
  if (argument <= TRAILERS)
    token_push(L, task->script, (enum token_kind)argument);
  else
    push_value(L, task, argument);
}

static const struct lua_hook *hook_of(const struct task *task) {
  return &hooks_of(task->script->x)->each[task->hook];
}

/* All of a task, onto its stack. -1 +0 */
static int push_protected(lua_State *L) {
  const struct task *task = lua_touserdata(L, 1);
  int count = hook_of(task)->arguments;
  for (int i = 0; i < count; i++) push(L, task, shapes[task->hook].arguments[i]);
  lua_xmove(L, task->co, count);
  return 0;
}

static bool are_ready(const struct task *task, int count) {
  for (int i = 0; i < count; i++)
    if (!is_ready(task->script, shapes[task->hook].arguments[i])) return false;
  return true;
}

/* False: no memory. What a finalizer of the policy raises meanwhile is not this request's. */
static bool push_arguments(struct task *task, const struct lua_hook *called) {
  const unsigned char *arguments = shapes[task->hook].arguments;
  if (called->needs_look && !are_ready(task, called->arguments)) {
    char *why = task_insist(task->vm, push_protected, task);
    free(why);
    return !why;
  }
  for (int i = 0; i < called->arguments; i++) push(task->co, task, arguments[i]);
  return true;
}

/* --- a call --------------------------------------------------------------------------------------------- */

static __attribute__((cold)) enum task_status refuse_call(enum hook hook, const char *why) {
  log_about(LOG_ERROR, str_of(hook_name(hook)), "%s was not called: %s", hook_name(hook), why);
  return TASK_REFUSED;
}

enum task_status hooks_call(struct task *task) {
  const struct lua_hook *called = hook_of(task);
  if (!task->script->is_seated) return refuse_call(task->hook, "there are too many exchanges at once");
  lua_rawgeti(task->co, LUA_REGISTRYINDEX, called->function);
  if (!push_arguments(task, called)) return refuse_call(task->hook, "the policy's memory is used up");
  return task_start(task, called->arguments);
}

struct task *hooks_task(struct script *script, enum hook hook, void *owner, task_end_fn *on_end) {
  struct task *task = task_take(script->vm);
  if (!task) {
    refuse_call(hook, script->vm->lost ? script->vm->lost_text : "the policy's memory is used up");
    return NULL;
  }
  task->owner = owner;
  task->on_end = on_end;
  task->script = script;
  task->hook = hook;
  task->place = hooks_of(script->x)->each[hook].place;
  task->refusal = ERROR_NONE;
  return task;
}

/* What answer_filter has changed before it failed does not count: the head goes out as it was. */
static __attribute__((cold)) void take_back(struct script *script) {
  script->x->response.headers = *script->given_fields;
}

static enum hook_status finish(struct script *script, struct task *task, enum task_status status) {
  struct exchange *x = script->x;
  script->task = NULL;
  if (status == TASK_FAILED)
    hook_failure_take(task, hook_of(task), &x->outcome);
  else if (shapes[task->hook].leave)
    shapes[task->hook].leave(task);
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
  struct task *task = hooks_task(script, hook, script, on_task_end);
  enum task_status status = task ? hooks_call(task) : TASK_REFUSED;
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

const char *hooks_place(const struct task *task) {
  static _Thread_local char text[256];
  snprintf(text, sizeof text, "%s (%s)", hook_of(task)->place, hook_name(task->hook));
  return text;
}

/* --- reading a table of hooks --------------------------------------------------------------------------- */

static void refuse_hook(lua_State *L, const char *name) {
  struct nearest n = nearest_to(name);
  for (enum hook hook = 0; hook < HOOK_COUNT; hook++) nearest_offer(&n, hook_name(hook));
  luaL_error(L, "perilune.listen: there is no hook '%s'%s%s%s (keep helper functions in locals)", name,
             n.found ? ": did you mean " : "", n.found ? n.found : "", n.found ? "?" : "");
}

/* A misspelt hook would never be called and never be missed. -0 +0 */
static void refuse_unknown(lua_State *L, int index) {
  lua_pushnil(L);
  while (lua_next(L, index)) {
    bool is_known = lua_type(L, -2) != LUA_TSTRING || !lua_isfunction(L, -1);
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

/* The hook's function is on top. -1 +0 */
static void add_hook(lua_State *L, struct lua_hooks *hooks, enum hook hook, struct arena *arena) {
  struct lua_hook *added = &hooks->each[hook];
  int all = 0;
  while (shapes[hook].arguments[all] != END) all++;
  added->place = place_of(L, arena);
  added->arguments = (unsigned char)arguments_of(L, all);
  for (int i = 0; i < added->arguments; i++) added->needs_look |= shapes[hook].arguments[i] >= CTX;
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

struct lua_hooks *hooks_read(lua_State *L, int index, struct arena *arena) {
  struct lua_hooks *hooks = arena_zalloc(arena, sizeof *hooks);
  hooks->vm = vm_of(L);
  hooks->hooks.policy = hooks->vm->policy;
  hooks->hooks.begin = begin;
  hooks->hooks.cancel = cancel;
  hooks->hooks.cancel_piece = body_cancel;
  hooks->hooks.cancel_certificate = certificate_cancel;
  hooks->hooks.end = end;
  refuse_unknown(L, index);
#define X(name)                                                                                              \
  if (read_hook(L, index, hooks, HOOK_##name, arena)) hooks->hooks.name = run_##name;
  HOOK_TABLE(X)
#undef X
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
