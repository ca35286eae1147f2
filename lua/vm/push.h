// SPDX-License-Identifier: Apache-2.0
// push: small functions that push values for Lua. Each has its effect on the stack.
#ifndef PERILUNE_LUA_PUSH_H
#define PERILUNE_LUA_PUSH_H

#include <lua.h>

#include "base/str.h"

struct headers;

/* As a C function returns them. -0 +1 */
static inline int push_nil(lua_State *L) {
  lua_pushnil(L);
  return 1;
}
static inline int push_text(lua_State *L, struct str text) {
  lua_pushlstring(L, text.ptr ? text.ptr : "", text.len);
  return 1;
}
static inline int push_true(lua_State *L) {
  lua_pushboolean(L, 1);
  return 1;
}
/* What failed: nil and a message. -0 +2 */
static inline int push_nil_why(lua_State *L, const char *why) {
  lua_pushnil(L);
  lua_pushstring(L, why);
  return 2;
}
/* True; or nil and the message, if there is one. -0 +1 | -0 +2 */
static inline int push_true_or_why(lua_State *L, const char *why) {
  return why ? push_nil_why(L, why) : push_true(L);
}
/* The same with a message from malloc, which it frees. */
int push_true_or_owned(lua_State *L, char *why);
/* nil where it is empty. */
static inline int push_text_or_nil(lua_State *L, struct str text) {
  return text.len ? push_text(L, text) : push_nil(L);
}

/* A field of the table on top. -0 +0 */
static inline void set_text(lua_State *L, const char *name, struct str text) {
  push_text(L, text);
  lua_setfield(L, -2, name);
}
/* None where the text is empty. */
static inline void set_text_if_any(lua_State *L, const char *name, struct str text) {
  if (text.len) set_text(L, name, text);
}
static inline void set_number(lua_State *L, const char *name, lua_Number number) {
  lua_pushnumber(L, number);
  lua_setfield(L, -2, name);
}
static inline void set_flag(lua_State *L, const char *name, bool flag) {
  lua_pushboolean(L, flag);
  lua_setfield(L, -2, name);
}

/* Lua code of ours, as a function. -0 +1 */
void push_code(lua_State *L, const char *code);
/* The function of that name in one of our Lua modules, which is loaded if it is not yet. -0 +1 */
void push_function(lua_State *L, const char *module, const char *name);

/* Calls the function that is the first upvalue with all arguments: LuaJIT's own, behind one of ours. -n +results */
int push_call_original(lua_State *L);

/* { name, value, name, value, ... } -0 +1 */
void push_fields(lua_State *L, const struct headers *headers);

#endif
