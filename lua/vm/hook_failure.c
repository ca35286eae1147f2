// SPDX-License-Identifier: Apache-2.0
// hook_failure: makes the log lines about failed hooks. The hard problem is an error without a line number, as after
// the tail call `return session:respond {...}`: lua/perilune/blame.lua finds it in the bytecode of the hook. This
// needs Lua and its memory, so it is done in protected mode; if it fails, the line of the hook's definition is used.
#include "lua/vm/hook_failure.h"

#include <lauxlib.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/script.h"
#include "lua/vm/task.h"
#include "lua/vm/vm.h"
#include "exchange/describe.h"
#include "exchange/exchange.h"

/* Empty for a hook that runs for no request. */
static void describe_request(const struct task *task, char room[DESCRIBE_BYTES]) {
  room[0] = '\0';
  if (task->script) exchange_describe(task->script->x, room);
}

/* --- the place ------------------------------------------------------------------------------------------ */

struct place_reading {
  struct task *task;
  int function;
  char place[200]; /* empty: nobody knows */
  bool is_method;  /* that was called with a colon */
  char called[64]; /* the name of the function that it called; empty: the same */
};

/* place, called, is_method = require("perilune.blame").place(co, hook) -1 +0 */
static int find_place(lua_State *L) {
  struct place_reading *reading = lua_touserdata(L, 1);
  push_function(L, "perilune.blame", "place");
  luaL_checkstack(reading->task->co, 2, NULL);
  lua_pushthread(reading->task->co);
  lua_xmove(reading->task->co, L, 1);
  lua_rawgeti(L, LUA_REGISTRYINDEX, reading->function);
  lua_call(L, 2, 3);
  snprintf(reading->place, sizeof reading->place, "%s", luaL_optstring(L, -3, ""));
  snprintf(reading->called, sizeof reading->called, "%s", luaL_optstring(L, -2, ""));
  reading->is_method = lua_toboolean(L, -1);
  return 0;
}

/* luaL_argerror does not know the name of a function that was called in a tail call. */
static const char unnamed[] = "to '?' (";
static const char numbered[] = "bad argument #";

/* Whose number counts the object of a method, which nobody writes among its arguments. In place. */
static void leave_out_self(char *text) {
  char *number = strncmp(text, numbered, sizeof numbered - 1) == 0 ? text + sizeof numbered - 1 : NULL;
  if (number && *number >= '2' && *number <= '9' && number[1] == ' ') --*number;
}

/* A message with the place before it. Malloc'd; takes over `text`. */
static char *put_place(char *text, const struct lua_hook *hook, struct task *task) {
  struct place_reading reading = {.task = task, .function = hook->function};
  if (task_error_has_place(text)) return text;
  if (!task->starved && !task->overran) free(task_protect(task->vm, find_place, &reading));
  if (reading.is_method && *reading.called && strstr(text, unnamed)) leave_out_self(text);
  const char *name = reading.called, *gap = *name ? strstr(text, unnamed) : NULL;
  char *placed;
  int length;
  if (!reading.place[0])
    length = asprintf(&placed, "%s (%s): %s", hook->place, hook_name(task->hook), text);
  else if (gap)
    length = asprintf(&placed, "%s: %.*sto '%s' (%s", reading.place, (int)(gap - text), text, name,
                      gap + sizeof unnamed - 1);
  else
    length = asprintf(&placed, "%s: %s", reading.place, text);
  if (length < 0) return text;
  free(text);
  return placed;
}

/* Of a traceback: what has no name says nothing, as "[C]: at 0x56095c847380". In place. */
static void drop_nameless(char *text) {
  static const char nameless[] = "\n\t[C]: at 0x";
  for (char *at; (at = strstr(text, nameless));) {
    char *end = at + 1 + strcspn(at + 1, "\n");
    memmove(at, end, strlen(end) + 1);
  }
}

/* --- the line ------------------------------------------------------------------------------------------- */

/* What repeats is told apart by the line of the policy that failed, which `text` begins with. */
static struct str place_of(const char *text) {
  const char *end = strstr(text, ": ");
  return (struct str){text, end ? (size_t)(end - text) : strcspn(text, "\n")};
}

static void write_line(const struct task *task, char *text) {
  static const char traceback[] = "\nstack traceback:";
  char request[DESCRIBE_BYTES];
  const char *name = hook_name(task->hook);
  drop_nameless(text);
  describe_request(task, request);
  char *behind = strstr(text, traceback);
  if (behind && !behind[sizeof traceback - 1]) *behind = '\0'; /* nothing is left of it */
  int length = behind ? (int)(behind - text) : (int)strlen(text);
  log_text_about(LOG_ERROR, place_of(text), "%s failed: %.*s%s%s", name, length, text, request,
                 text + length);
}

/* The status of an error is what the policy wants, which is told at another level; but not of a hook that cannot
 * answer. */
static bool is_wanted(const struct task *task, unsigned status) {
  return status && task->hook != HOOK_answer_filter && task->hook != HOOK_logging;
}

void hook_failure_take(struct task *task, const struct lua_hook *hook, struct hook_outcome *outcome) {
  struct task_error error = task_error(task, true);
  char request[DESCRIBE_BYTES];
  outcome->error = task->overran ? ERROR_SCRIPT_TIMEOUT : ERROR_SCRIPT;
  outcome->status = error.status;
  if (is_wanted(task, error.status)) {
    describe_request(task, request);
    log_about(LOG_INFO, str_of(hook->place), "%s ended the request with status %u%s", hook_name(task->hook),
              error.status, request);
  } else {
    error.text = put_place(error.text, hook, task);
    write_line(task, error.text);
  }
  free(error.text);
}

void hook_failure_tell(const struct task *task, const char *format, ...) {
  char request[DESCRIBE_BYTES], *why;
  const char *place = script_place(task);
  va_list arguments;
  va_start(arguments, format);
  int length = vasprintf(&why, format, arguments);
  va_end(arguments);
  describe_request(task, request);
  log_about(LOG_ERROR, str_of(place), "%s failed: %s: %s%s", hook_name(task->hook), place,
            length < 0 ? format : why, request);
  if (length >= 0) free(why);
}

/* What core.leave raises: its address. */
static char left;

bool hook_has_left(const struct task *task) {
  bool is_plain = !task->overran && !task->starved && !task->strayed && lua_gettop(task->co) > 0;
  return is_plain && lua_touserdata(task->co, -1) == &left;
}

/* core.leave(): ends the hook that runs, as if it had returned nothing -0 +0 */
static int leave(lua_State *L) {
  lua_pushlightuserdata(L, &left);
  return lua_error(L);
}

void open_hook_failure(lua_State *L) {
  lua_pushcfunction(L, leave);
  lua_setfield(L, -2, "leave");
  lua_pushlightuserdata(L, &left);
  lua_setfield(L, -2, "left"); /* for who catches errors and passes this one on */
}
