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

/* { name, value, name, value, ... } -0 +1 */
void push_fields(lua_State *L, const struct headers *headers);

#endif
