// SPDX-License-Identifier: Apache-2.0
// pattern_library: string.find, match, gmatch and gsub as policies get them. Searches that cannot take long, which
// is nearly all, use LuaJIT's own functions; the rest use a matcher that can be interrupted.
#include <lauxlib.h>
#include <string.h>

#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/pattern.h"
#include "lua/vm/push.h"
#include "lua/vm/stack.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"

/* Steps that LuaJIT's matcher takes in a few milliseconds. */
enum { STEPS_FINE = 1000000, LONG_PATTERN = 256 };

/* --- which matcher -------------------------------------------------------------------------------------- */

/* How many items may be left in as many ways as the subject has characters, at most. */
static unsigned choices(struct str pattern) {
  unsigned count = 0;
  for (size_t i = 0; i < pattern.len; i++) {
    char c = pattern.ptr[i];
    count += c == '*' || c == '+' || c == '-';
    if (c != '%' || i + 1 == pattern.len) continue;
    c = pattern.ptr[++i];
    count += c == 'b' || (c >= '1' && c <= '9');
  }
  return count;
}

/* A match may begin at each character, and then try each way. A pattern with NUL ends there for LuaJIT. */
static bool is_fine(struct str subject, struct str pattern) {
  double ways = (double)subject.len + 1, steps = ways;
  unsigned count = choices(pattern);
  for (unsigned i = 0; i < count && steps <= STEPS_FINE; i++) steps *= ways;
  if (pattern.len > LONG_PATTERN) steps *= (double)pattern.len;
  return steps <= STEPS_FINE || str_find(pattern, '\0') < pattern.len;
}

static struct match begin(lua_State *L, const struct pattern *pattern, struct str subject) {
  return (struct match){
      .L = L, .vm = vm_of(L), .pattern = pattern, .subject = subject.ptr, .end = subject.ptr + subject.len};
}

/* --- captures ------------------------------------------------------------------------------------------- */

/* -0 +1 */
static void push_capture(struct match *m, unsigned index, const char *start, const char *end) {
  lua_State *L = m->L;
  if (index >= m->level) {
    if (index > 0) handle_raise(L, "invalid capture index");
    lua_pushlstring(L, start, (size_t)(end - start)); /* without captures: the whole */
    return;
  }
  const struct capture *capture = &m->captures[index];
  if (capture->length == CAPTURE_OPEN) handle_raise(L, "unfinished capture");
  if (capture->length == CAPTURE_POSITION)
    lua_pushinteger(L, capture->start - m->subject + 1);
  else
    lua_pushlstring(L, capture->start, (size_t)capture->length);
}

/* All; the whole match where there are none and it is wanted. -0 +n */
static int push_captures(struct match *m, const char *start, const char *end) {
  unsigned count = m->level == 0 && start ? 1 : m->level;
  luaL_checkstack(m->L, (int)count, "too many captures");
  for (unsigned i = 0; i < count; i++) push_capture(m, i, start, end);
  return (int)count;
}

/* --- find and match ------------------------------------------------------------------------------------- */

/* The third argument, as an offset within the subject. -0 +0 */
static size_t check_start(lua_State *L, size_t length) {
  lua_Integer start = luaL_optinteger(L, 3, 1);
  if (start < 0) start += (lua_Integer)length + 1;
  if (start < 1) start = 1;
  return (size_t)start - 1 > length ? length : (size_t)start - 1;
}

/* LuaJIT compares at each place again, which is the product of both lengths. -0 +n */
static int find_plainly(lua_State *L, struct str subject, struct str text, size_t start) {
  const char *at = memmem(subject.ptr + start, subject.len - start, text.ptr, text.len);
  if (!at) {
    lua_pushnil(L);
    return 1;
  }
  lua_pushinteger(L, at - subject.ptr + 1);
  lua_pushinteger(L, at - subject.ptr + (lua_Integer)text.len);
  return 2;
}

static bool is_long(struct str subject, struct str text) {
  return text.len > 0 && (double)subject.len * (double)text.len > STEPS_FINE;
}

/* A pattern without a special character is looked for as it is. */
static bool is_plain(struct str text) {
  for (size_t i = 0; i < text.len; i++)
    if (strchr("^$*+?.([%-", text.ptr[i])) return false; /* NUL as well, where patterns end */
  return true;
}

static int search(lua_State *L, bool wants_place) {
  struct str subject = text_at(L, 1), text = text_at(L, 2);
  size_t start = check_start(L, subject.len);
  bool plainly = wants_place && is_long(subject, text) && (lua_toboolean(L, 4) || is_plain(text));
  if (plainly) return find_plainly(L, subject, text, start);
  if ((wants_place && lua_toboolean(L, 4)) || is_fine(subject, text)) return push_call_original(L);
  struct pattern pattern;
  pattern_read(L, text, true, &pattern);
  struct match m = begin(L, &pattern, subject);
  for (const char *at = subject.ptr + start; at <= m.end; at++) {
    const char *end = pattern_match(&m, at);
    if (end && wants_place) {
      lua_pushinteger(L, at - m.subject + 1);
      lua_pushinteger(L, end - m.subject);
      return push_captures(&m, NULL, NULL) + 2;
    }
    if (end) return push_captures(&m, at, end);
    if (pattern.is_anchored) break;
  }
  lua_pushnil(L);
  return 1;
}

static int find(lua_State *L) { return search(L, true); }
static int match(lua_State *L) { return search(L, false); }

/* --- gmatch --------------------------------------------------------------------------------------------- */

/* The iterator: subject, pattern, offset and the pattern's memory are upvalues. */
static int next_match(lua_State *L) {
  size_t length;
  const char *bytes = lua_tolstring(L, lua_upvalueindex(1), &length);
  const struct pattern *pattern = lua_touserdata(L, lua_upvalueindex(2));
  struct match m = begin(L, pattern, (struct str){bytes, length});
  for (const char *at = bytes + lua_tointeger(L, lua_upvalueindex(3)); at <= m.end; at++) {
    const char *end = pattern_match(&m, at);
    if (!end) continue;
    lua_pushinteger(L, end - bytes + (end == at));
    lua_replace(L, lua_upvalueindex(3));
    return push_captures(&m, at, end);
  }
  return 0;
}

static int gmatch(lua_State *L) {
  struct str subject = text_at(L, 1), text = text_at(L, 2);
  if (is_fine(subject, text)) return push_call_original(L);
  lua_settop(L, 2);
  lua_pushvalue(L, 1);
  struct pattern *pattern = lua_newuserdata(L, sizeof *pattern);
  lua_pushinteger(L, 0);
  pattern_read(L, text, false, pattern);
  lua_pushcclosure(L, next_match, 4);
  return 1;
}

/* --- gsub ----------------------------------------------------------------------------------------------- */

/* The replacement at 3, a string with captures in it. */
static void add_text(struct match *m, luaL_Buffer *out, const char *start, const char *end) {
  size_t length;
  const char *text = lua_tolstring(m->L, 3, &length);
  for (size_t i = 0; i < length; i++) {
    if (text[i] != '%' || i + 1 == length) {
      luaL_addchar(out, text[i]);
    } else if (text[++i] < '0' || text[i] > '9') {
      luaL_addchar(out, text[i]);
    } else if (text[i] == '0') {
      luaL_addlstring(out, start, (size_t)(end - start));
    } else {
      push_capture(m, (unsigned)(text[i] - '1'), start, end);
      luaL_addvalue(out);
    }
  }
}

/* What the function or table at 3 gives for the match; false and nil keep it. */
static void add_value(struct match *m, luaL_Buffer *out, const char *start, const char *end) {
  lua_State *L = m->L;
  if (lua_isfunction(L, 3)) {
    lua_pushvalue(L, 3);
    lua_call(L, push_captures(m, start, end), 1);
  } else {
    push_capture(m, 0, start, end);
    lua_gettable(L, 3);
  }
  if (!lua_toboolean(L, -1)) {
    lua_pop(L, 1);
    lua_pushlstring(L, start, (size_t)(end - start));
  } else if (!lua_isstring(L, -1)) {
    handle_raise(L, "invalid replacement value (a %s)", luaL_typename(L, -1));
  }
  luaL_addvalue(out);
}

static int gsub(lua_State *L) {
  stack_check(L); /* LuaJIT's frame and ours have a buffer of kilobytes */
  struct str subject = text_at(L, 1), text = text_at(L, 2);
  int kind = lua_type(L, 3);
  if (is_fine(subject, text) ||
      (kind != LUA_TSTRING && kind != LUA_TNUMBER && kind != LUA_TTABLE && kind != LUA_TFUNCTION))
    return push_call_original(L);
  lua_Number most = luaL_optnumber(L, 4, (lua_Number)subject.len + 1);
  struct pattern pattern;
  luaL_Buffer out;
  lua_Integer count = 0;
  lua_settop(L, 4);
  if (kind == LUA_TNUMBER) text_of(L, 3);
  pattern_read(L, text, true, &pattern);
  struct match m = begin(L, &pattern, subject);
  luaL_buffinit(L, &out);
  const char *at = subject.ptr;
  while ((lua_Number)count < most) {
    const char *end = pattern_match(&m, at);
    if (end) {
      count++;
      if (lua_type(L, 3) == LUA_TSTRING)
        add_text(&m, &out, at, end);
      else
        add_value(&m, &out, at, end);
    }
    if (end && end > at)
      at = end;
    else if (at < m.end)
      luaL_addchar(&out, *at++);
    else
      break;
    if (pattern.is_anchored) break;
  }
  luaL_addlstring(&out, at, (size_t)(m.end - at));
  luaL_pushresult(&out);
  lua_pushinteger(L, count);
  return 2;
}

static const luaL_Reg functions[] = {
    {"find", find}, {"match", match}, {"gmatch", gmatch}, {"gsub", gsub}, {NULL, NULL}};

void open_pattern(lua_State *L) {
  lua_getglobal(L, "string");
  for (const luaL_Reg *f = functions; f->name; f++) {
    lua_getfield(L, -1, f->name);
    lua_pushcclosure(L, f->func, 1);
    lua_setfield(L, -2, f->name);
  }
  lua_pop(L, 1);
}
