// SPDX-License-Identifier: Apache-2.0
// certificate: calls the policy's `certificate` hook. There is no exchange yet, so no session: it gets the facts
// of the client's hello, and a separate ctx.
#include "lua/vm/certificate.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "base/log.h"
#include "lua/vm/hook_call.h"
#include "lua/vm/hook_failure.h"
#include "lua/vm/paths.h"
#include "lua/vm/push.h"
#include "lua/vm/script.h"
#include "lua/vm/task.h"
#include "lua/vm/vm.h"
#include "net/tls_identity.h"

enum { TTL_S = 3600, TTL_MOST_S = 365 * 86400 };

static void on_task_end(struct task *task, enum task_status status);
static int push_arguments(lua_State *L);
static bool take(struct certificate_request *request, struct task *task);

static const struct lua_hook *hook_of(const struct certificate_request *request) {
  return &script_hooks(request->hooks)->each[HOOK_certificate];
}

static enum hook_status finish(struct certificate_request *request, struct task *task,
                               enum task_status status) {
  struct hook_outcome outcome = {0};
  request->script = NULL;
  bool ok = status == TASK_DONE && take(request, task);
  if (status == TASK_FAILED) hook_failure_take(task, hook_of(request), &outcome);
  task_free(task);
  return ok ? HOOK_DONE : HOOK_FAILED;
}

static enum hook_status fail(struct task *task) {
  log_error("certificate was not called: the policy's memory is used up");
  if (task) task_free(task);
  return HOOK_FAILED;
}

enum hook_status certificate_run(struct certificate_request *request) {
  struct vm *vm = script_hooks(request->hooks)->vm;
  struct task *task = task_new(vm, request, on_task_end);
  if (!task) return fail(task);
  task->hook = HOOK_certificate;
  lua_rawgeti(task->co, LUA_REGISTRYINDEX, hook_of(request)->function);
  char *why = task_protect(vm, push_arguments, task);
  free(why);
  if (why) return fail(task);
  enum task_status status = task_start(task, 2);
  if (status != TASK_WAITS) return finish(request, task, status);
  request->script = task;
  return HOOK_WAIT;
}

static void on_task_end(struct task *task, enum task_status status) {
  struct certificate_request *request = task->owner;
  certificate_request_wake(request, finish(request, task, status) == HOOK_FAILED);
}

void certificate_cancel(struct certificate_request *request) {
  struct task *task = request->script;
  request->script = NULL;
  if (task) task_free(task);
}

/* (hello, ctx) of the task that is the light userdata at 1, onto its stack. -1 +0 */
static int push_arguments(lua_State *L) {
  const struct task *task = lua_touserdata(L, 1);
  const struct certificate_request *request = task->owner;
  lua_createtable(L, 0, 3);
  set_text_if_any(L, "server_name", request->server_name);
  set_text(L, "client_address", request->client);
  if (request->is_challenge) {
    lua_pushboolean(L, true);
    lua_setfield(L, -2, "acme");
  }
  lua_newtable(L);
  lua_xmove(L, task->co, 2);
  return 0;
}

/* --- the result ------------------------------------------------------------------------------------------ */

static bool refuse(const struct certificate_request *request, const char *why) {
  log_about(LOG_ERROR, str_of(hook_of(request)->place), "certificate failed: %s (certificate): %s",
            hook_of(request)->place, why);
  return false;
}

/* PEM text as it is, names of files relative to the script. */
static struct str source(struct task *task, int index, struct arena *arena) {
  struct str text;
  text.ptr = lua_tolstring(task->co, index, &text.len);
  return strstr(text.ptr, "-----BEGIN") ? text : paths_of(task->vm, text, arena);
}

static bool load(struct certificate_request *request, struct task *task) {
  struct arena arena = {0};
  struct tls_files files = {.certificate = source(task, 1, &arena), .key = source(task, 2, &arena)};
  char *why = NULL;
  request->identity = tls_identity_get(&files, &why);
  if (!request->identity) refuse(request, why);
  free(why);
  arena_free(&arena);
  return request->identity != NULL;
}

/* Nothing, nil: the listener's own; false: refused; certificate, key [, ttl]. */
static bool take(struct certificate_request *request, struct task *task) {
  lua_State *co = task->co;
  if (lua_isnoneornil(co, 1)) return true;
  request->refused = lua_isboolean(co, 1) && !lua_toboolean(co, 1);
  if (request->refused) return true;
  if (lua_type(co, 1) != LUA_TSTRING || lua_type(co, 2) != LUA_TSTRING)
    return refuse(request, "expected a certificate and its key (file names or PEM text), nil for the "
                           "listener's own, or false to refuse");
  lua_Number ttl_s = lua_isnoneornil(co, 3)           ? TTL_S
                     : lua_type(co, 3) == LUA_TNUMBER ? lua_tonumber(co, 3)
                                                      : -1;
  if (!(ttl_s >= 0 && ttl_s <= TTL_MOST_S))
    return refuse(request, "expected the seconds for which the certificate is kept as its third result");
  request->ttl_s = (unsigned)ttl_s;
  return load(request, task);
}
