// SPDX-License-Identifier: Apache-2.0
// body: calls the body hooks. They run concurrently with the hooks of the steps, each direction in its own task.
//
// What a filter returns is passed on: a string, an array of strings, or nothing (nil, "", {}), which drops the
// piece. Only the first result counts, so that `return chunk:gsub(...)` does what it seems to do. Trailers are
// changed in place; what their filter returns ends the body instead of them.
#include "lua/vm/body.h"

#include <lauxlib.h>
#include <stdlib.h>

#include "lua/vm/gather.h"
#include "lua/vm/hook_call.h"
#include "lua/vm/hook_failure.h"
#include "lua/vm/results.h"
#include "lua/vm/script.h"
#include "lua/vm/task.h"
#include "exchange/exchange.h"

static void on_task_end(struct task *task, enum task_status status);
static void take(struct body_piece *piece, struct task *task);

static enum hook_status finish(struct body_piece *piece, struct task *task, enum task_status status) {
  piece->script = NULL;
  if (status == TASK_DONE) take(piece, task);
  if (status == TASK_FAILED && !hook_has_left(task)) {
    struct hook_outcome outcome = {0};
    const struct lua_hooks *hooks = (const struct lua_hooks *)piece->x->hooks;
    hook_failure_take(task, &hooks->each[piece->hook], &outcome);
    piece->error = outcome.error;
    piece->status = outcome.status;
  }
  task_free(task);
  return piece->error ? HOOK_FAILED : HOOK_DONE;
}

enum hook_status body_run(struct body_piece *piece) {
  struct script *script = piece->x->script;
  struct task *task = hook_call_new(script, piece->hook, piece, on_task_end);
  if (piece->trailers) script->trailers = piece->trailers;
  enum task_status status = task ? hook_call_run(task) : TASK_REFUSED;
  if (status == TASK_REFUSED) {
    if (task) task_free(task);
    piece->error = ERROR_SCRIPT;
    return HOOK_FAILED;
  }
  if (status != TASK_WAITS) return finish(piece, task, status);
  piece->script = task;
  return HOOK_WAIT;
}

static void on_task_end(struct task *task, enum task_status status) {
  struct body_piece *piece = task->owner;
  body_piece_wake(piece, finish(piece, task, status) == HOOK_FAILED);
}

void body_cancel(struct body_piece *piece) {
  struct task *task = piece->script;
  piece->script = NULL;
  if (task) task_free(task);
}

/* --- the result ----------------------------------------------------------------------------------------- */

/* The string at `index`. */
static struct str text_at(lua_State *L, int index) {
  struct str text;
  text.ptr = lua_tolstring(L, index, &text.len);
  return text;
}

static void refuse(struct body_piece *piece, const struct task *task, const char *what) {
  hook_failure_tell(task, "expected a string, an array of strings or nothing as its result, got %s", what);
  piece->error = ERROR_SCRIPT;
}

/* Strings only: what a number would look like is not for us to say. */
static void take_array(struct body_piece *piece, struct task *task) {
  lua_State *co = task->co;
  int count = (int)lua_objlen(co, 1);
  struct gather g = gather_begin(co, piece->out);
  for (int i = 1; i <= count && !piece->error; i++) {
    lua_rawgeti(co, 1, i);
    if (lua_type(co, -1) != LUA_TSTRING)
      refuse(piece, task, "an array with another value in it");
    else if (!gather_text(&g, text_at(co, -1)))
      refuse(piece, task, "an array of strings that are together " GATHER_TOO_LONG);
    lua_pop(co, 1);
  }
}

static void take(struct body_piece *piece, struct task *task) {
  lua_State *co = task->co;
  bool takes_false =
      piece->hook == HOOK_response_trailer_filter; /* as hooks do that change something in place */
  if (lua_isnoneornil(co, 1) || (takes_false && !lua_toboolean(co, 1))) return;
  if (lua_istable(co, 1)) {
    take_array(piece, task);
    return;
  }
  if (lua_type(co, 1) != LUA_TSTRING) {
    refuse(piece, task, luaL_typename(co, 1));
    return;
  }
  struct str text = text_at(co, 1);
  piece->unchanged = str_equal(text, piece->chunk);
  if (!piece->unchanged) buf_append_str(piece->out, text);
}
