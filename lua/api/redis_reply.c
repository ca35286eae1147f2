// SPDX-License-Identifier: Apache-2.0
// redis_reply: makes commands from Lua values, and Lua values from complete replies.
//
// Within a reply, null is json.null, and an error is a table { error = text, code = its first word } with its own
// metatable. Integers beyond 2^53, which a number would round, and big numbers are strings.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "lua/api/redis.h"
#include "lua/vm/gather.h"
#include "lua/vm/handle.h"
#include "lua/vm/push.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"

enum { EXACT_BITS = 53, COMMANDS_MOST = 100000 };

/* --- values --------------------------------------------------------------------------------------------- */

static const char errors; /* its address is the metatable's key in the registry */

static size_t push_value(lua_State *L, struct str bytes);

static struct str code_of(struct str text) { return (struct str){text.ptr, str_find(text, ' ')}; }

/* -0 +1 */
static void push_error(lua_State *L, struct str text) {
  lua_createtable(L, 0, 2);
  set_text(L, "error", text);
  set_text(L, "code", code_of(text));
  lua_pushlightuserdata(L, (void *)&errors);
  lua_rawget(L, LUA_REGISTRYINDEX);
  lua_setmetatable(L, -2);
}

/* -0 +1 */
static void push_integer(lua_State *L, struct str text) {
  int64_t number = 0;
  resp_integer(text, &number);
  if (number <= 1LL << EXACT_BITS && number >= -(1LL << EXACT_BITS))
    lua_pushnumber(L, (lua_Number)number);
  else
    push_text(L, str_from(text, text.ptr[0] == '+'));
}

/* The text is a double's, and a line ends it. -0 +1 */
static void push_double(lua_State *L, struct str text) { lua_pushnumber(L, strtod(text.ptr, NULL)); }

/* -0 +1 */
static size_t push_list(lua_State *L, struct str bytes, uint64_t count) {
  size_t at = 0;
  lua_createtable(L, (int)(count < bytes.len / 3 ? count : bytes.len / 3), 0);
  for (uint64_t i = 0; i < count; i++) {
    at += push_value(L, str_from(bytes, at));
    lua_rawseti(L, -2, (int)i + 1);
  }
  return at;
}

/* A key that is no number, which no table takes, becomes its text. -0 +1 */
static size_t push_map(lua_State *L, struct str bytes, uint64_t count) {
  size_t at = 0;
  lua_createtable(L, 0, (int)(count / 2 < bytes.len / 6 ? count / 2 : bytes.len / 6));
  for (uint64_t i = 0; i < count; i += 2) {
    at += push_value(L, str_from(bytes, at));
    if (lua_type(L, -1) == LUA_TNUMBER && isnan(lua_tonumber(L, -1))) {
      lua_pop(L, 1);
      lua_pushliteral(L, "nan");
    }
    at += push_value(L, str_from(bytes, at));
    lua_rawset(L, -3);
  }
  return at;
}

/* What an attribute says is not given; the value itself follows. -0 +1 */
static size_t skip_attribute(lua_State *L, struct str bytes, uint64_t count) {
  size_t at = 0;
  for (uint64_t i = 0; i < count; i++) {
    at += push_value(L, str_from(bytes, at));
    lua_pop(L, 1);
  }
  return at + push_value(L, str_from(bytes, at));
}

/* The bytes that it took. -0 +1 */
static size_t push_value(lua_State *L, struct str bytes) {
  struct resp_token t = {0};
  luaL_checkstack(L, 6, "redis: nested replies");
  if (resp_token(bytes, &t) != RESP_WHOLE) return (size_t)luaL_error(L, "redis: a reply that is not whole");
  struct str rest = str_from(bytes, t.bytes);
  if (t.is_null) {
    lua_pushlightuserdata(L, NULL);
    return t.bytes;
  }
  switch (t.type) {
  case ':': push_integer(L, t.text); break;
  case '-':
  case '!': push_error(L, t.text); break;
  case '#': lua_pushboolean(L, t.text.ptr[0] == 't'); break;
  case ',': push_double(L, t.text); break;
  case '*':
  case '~':
  case '>': return t.bytes + push_list(L, rest, t.count);
  case '%': return t.bytes + push_map(L, rest, t.count);
  case '|': return t.bytes + skip_attribute(L, rest, t.count);
  default: push_text(L, t.text);
  }
  return t.bytes;
}

int redis_push_reply(lua_State *L, struct str reply) {
  struct resp_token t = {0};
  bool is_whole = resp_token(reply, &t) == RESP_WHOLE;
  if (is_whole && t.is_null) return push_nil(L);
  if (!is_whole || (t.type != '-' && t.type != '!')) {
    push_value(L, reply);
    return 1;
  }
  push_nil(L);
  push_text(L, t.text);
  push_text(L, code_of(t.text));
  return 3;
}

void redis_push_replies(lua_State *L, struct str replies, unsigned count) { push_list(L, replies, count); }

/* --- commands ------------------------------------------------------------------------------------------- */

static struct gather begin(lua_State *L) {
  struct buf *out = &vm_of(L)->scratch;
  buf_clear(out);
  return gather_begin(L, out);
}

static void put(lua_State *L, struct gather *g, struct str text) {
  if (!gather_text(g, text)) handle_raise(L, "redis: the commands are " GATHER_TOO_LONG);
}

static void write_line(lua_State *L, struct gather *g, char type, size_t number) {
  char text[24];
  put(L, g, (struct str){text, (size_t)snprintf(text, sizeof text, "%c%zu\r\n", type, number)});
}

static void write_text(lua_State *L, struct gather *g, struct str text) {
  write_line(L, g, '$', text.len);
  put(L, g, text);
  put(L, g, STR("\r\n"));
}

void redis_write_command(lua_State *L, int from, int to) {
  struct gather g = begin(L);
  if (to < from) handle_raise(L, "redis:call: expected a command and its arguments, such as \"GET\", key");
  write_line(L, &g, '*', (size_t)(to - from + 1));
  for (int i = from; i <= to; i++) {
    struct str text = text_of(L, i);
    if (!text.ptr)
      handle_raise(L, "redis:call: argument %d is a %s value: expected a string or a number", i - from + 1,
                   luaL_typename(L, i));
    write_text(L, &g, text);
  }
}

/* The list on top of the stack is command number `number`. -1 +0 */
static void write_listed(lua_State *L, struct gather *g, int number) {
  int count = lua_istable(L, -1) ? (int)lua_objlen(L, -1) : 0;
  if (count == 0)
    handle_raise(L, "redis: command %d of the list is no command: expected a list, such as { \"GET\", key }",
                 number);
  write_line(L, g, '*', (size_t)count);
  for (int i = 1; i <= count; i++) {
    lua_rawgeti(L, -1, i);
    struct str text = text_of(L, -1);
    if (!text.ptr)
      handle_raise(L, "redis: argument %d of command %d is a %s value: expected a string or a number", i,
                   number, luaL_typename(L, -1));
    write_text(L, g, text);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
}

unsigned redis_write_list(lua_State *L, int index) {
  struct gather g = begin(L);
  size_t count = lua_istable(L, index) ? lua_objlen(L, index) : 0;
  if (count == 0 || count > COMMANDS_MOST)
    handle_raise(L, "redis: expected a list of 1 to %d commands", COMMANDS_MOST);
  for (int i = 1; i <= (int)count; i++) {
    lua_rawgeti(L, index, i);
    write_listed(L, &g, i);
  }
  return (unsigned)count;
}

/* tostring(error) -1 +1 */
static int error_text(lua_State *L) {
  lua_getfield(L, 1, "error");
  return 1;
}

void redis_open_replies(lua_State *L) {
  lua_newtable(L);
  lua_pushliteral(L, "perilune.redis.error");
  lua_setfield(L, -2, "__name");
  lua_pushcfunction(L, error_text);
  lua_setfield(L, -2, "__tostring");
  lua_pushlightuserdata(L, (void *)&errors);
  lua_pushvalue(L, -2);
  lua_rawset(L, LUA_REGISTRYINDEX);
  lua_setfield(L, -2, "redis_error");
}
