// SPDX-License-Identifier: Apache-2.0
// hook_call: a call resumes a coroutine that was used before; its arguments are pushed onto its stack here. Nothing
// here may raise an error, since errors are not caught: an argument that needs memory is made in protected mode.
#include "lua/vm/hook_call.h"

#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "lua/api/failure.h"
#include "lua/api/peer.h"
#include "lua/vm/ctx.h"
#include "lua/vm/push.h"
#include "lua/vm/script.h"
#include "lua/vm/token.h"
#include "lua/vm/vm.h"
#include "exchange/cache.h"
#include "exchange/exchange.h"

enum argument {
  SESSION = TOKEN_SESSION,
  UPSTREAM_REQUEST = TOKEN_UPSTREAM_REQUEST,
  RESPONSE = TOKEN_RESPONSE,
  TRAILERS = TOKEN_TRAILERS,
  REUSED,
  IS_LAST,
  IS_FRESH,
  CTX, /* from here on it may need memory */
  PEER,
  FAILURE,
  STALE_CAUSE,
  CHUNK,
  HELLO,
  END
};

/* What a hook is given. */
static const unsigned char given[HOOK_COUNT][6] = {
    [HOOK_early_request_filter] = {SESSION, CTX, END},
    [HOOK_request_filter] = {SESSION, CTX, END},
    [HOOK_request_cache_filter] = {SESSION, CTX, END},
    [HOOK_cache_key_callback] = {SESSION, CTX, END},
    [HOOK_cache_vary_filter] = {SESSION, CTX, END},
    [HOOK_cache_hit_filter] = {SESSION, RESPONSE, IS_FRESH, CTX, END},
    [HOOK_cache_miss] = {SESSION, CTX, END},
    [HOOK_proxy_upstream_filter] = {SESSION, CTX, END},
    [HOOK_upstream_peer] = {SESSION, CTX, END},
    [HOOK_fail_to_connect] = {SESSION, PEER, CTX, FAILURE, END},
    [HOOK_connected_to_upstream] = {SESSION, REUSED, PEER, CTX, END},
    [HOOK_upstream_request_filter] = {SESSION, UPSTREAM_REQUEST, CTX, END},
    [HOOK_upstream_response_filter] = {SESSION, RESPONSE, CTX, END},
    [HOOK_response_cache_filter] = {SESSION, RESPONSE, CTX, END},
    [HOOK_should_serve_stale] = {SESSION, STALE_CAUSE, CTX, END},
    [HOOK_response_filter] = {SESSION, RESPONSE, CTX, END},
    [HOOK_error_while_proxy] = {SESSION, PEER, FAILURE, CTX, REUSED, END},
    [HOOK_fail_to_proxy] = {SESSION, FAILURE, CTX, END},
    [HOOK_answer_filter] = {SESSION, RESPONSE, CTX, END},
    [HOOK_logging] = {SESSION, FAILURE, CTX, END},
    [HOOK_request_body_filter] = {SESSION, CHUNK, IS_LAST, CTX, END},
    [HOOK_upstream_response_body_filter] = {SESSION, CHUNK, IS_LAST, CTX, END},
    [HOOK_response_body_filter] = {SESSION, CHUNK, IS_LAST, CTX, END},
    [HOOK_response_trailer_filter] = {SESSION, TRAILERS, CTX, END},
    [HOOK_certificate] = {HELLO, CTX, END}, /* pushed by certificate.c: there is no exchange */
};

int hook_call_arguments(enum hook hook) {
  int all = 0;
  while (given[hook][all] != END) all++;
  return all;
}

bool hook_call_is_ctx(enum hook hook, int index) { return given[hook][index] == CTX; }

bool hook_call_needs_look(enum hook hook, int index) { return given[hook][index] > CTX; }

/* --- arguments ------------------------------------------------------------------------------------------ */

/* Can it be pushed without memory? */
static bool is_ready(const struct script *script, enum argument argument) {
  switch (argument) {
  case PEER: return !script->x->now.peer;
  case FAILURE: return script->x->error == ERROR_NONE;
  case STALE_CAUSE: return cache_stale_cause(script->x) == ERROR_NONE;
  case CHUNK:
  case HELLO: return false;
  case CTX: /* was looked at */
  case SESSION:
  case UPSTREAM_REQUEST:
  case RESPONSE:
  case TRAILERS:
  case REUSED:
  case IS_LAST:
  case IS_FRESH:
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
  case IS_FRESH: lua_pushboolean(L, cache_found_is_fresh(script->x)); break;
  case CTX: ctx_push(L, script); break;
  case PEER: peer_push(L, script->x->now.peer); break;
  case FAILURE: failure_push(L, script, script->x->error); break;
  case STALE_CAUSE: failure_push(L, script, cache_stale_cause(script->x)); break;
  case CHUNK: push_text(L, ((const struct body_piece *)task->owner)->chunk); break;
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
  return &script_hooks(task->script->x->hooks)->each[task->hook];
}

/* All of a task, onto its stack. -1 +0 */
static int push_protected(lua_State *L) {
  const struct task *task = lua_touserdata(L, 1);
  int count = hook_of(task)->arguments;
  for (int i = 0; i < count; i++) push(L, task, given[task->hook][i]);
  lua_xmove(L, task->co, count);
  return 0;
}

static bool are_ready(const struct task *task, const struct lua_hook *called) {
  if (called->has_ctx && !ctx_is_ready(task->script)) return false;
  for (int i = 0; called->needs_look && i < called->arguments; i++)
    if (!is_ready(task->script, given[task->hook][i])) return false;
  return true;
}

/* False: no memory. */
static bool push_arguments(struct task *task, const struct lua_hook *called) {
  const unsigned char *arguments = given[task->hook];
  if (!are_ready(task, called)) {
    char *why = task_protect(task->vm, push_protected, task);
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

enum task_status hook_call_run(struct task *task) {
  const struct lua_hook *called = hook_of(task);
  if (!task->script->is_seated) return refuse_call(task->hook, "there are too many exchanges at once");
  lua_rawgeti(task->co, LUA_REGISTRYINDEX, called->function);
  if (!push_arguments(task, called)) return refuse_call(task->hook, "the policy's memory is used up");
  return task_start(task, called->arguments);
}

struct task *hook_call_new(struct script *script, enum hook hook, void *owner, task_end_fn *on_end) {
  struct task *task = task_take(script->vm);
  if (!task) {
    refuse_call(hook, script->vm->lost.why ? script->vm->lost.text : "the policy's memory is used up");
    return NULL;
  }
  task->owner = owner;
  task->on_end = on_end;
  task->script = script;
  task->hook = hook;
  task->place = script_hooks(script->x->hooks)->each[hook].place;
  task->refusal = ERROR_NONE;
  task->span = 0;
  return task;
}
