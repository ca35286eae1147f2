// SPDX-License-Identifier: Apache-2.0
// handle: makes and checks userdata. A tag is a constant no other library's userdata begins with, and the
// kind.
#include "lua/handle.h"

#include <stdarg.h>
#include <string.h>

#include "lua/vm.h"

#define TAG 0x5045524900000000u

void handle_define(lua_State *L, enum handle_kind kind, const char *name, const luaL_Reg *methods,
                   const luaL_Reg *metamethods) {
  lua_newtable(L);
  lua_pushstring(L, name);
  lua_setfield(L, -2, "__name");
  lua_newtable(L);
  luaL_register(L, NULL, methods);
  lua_setfield(L, -2, "__index");
  if (metamethods) luaL_register(L, NULL, metamethods);
  vm_of(L)->metatables[kind] = luaL_ref(L, LUA_REGISTRYINDEX);
}

void handle_wrap_index(lua_State *L, enum handle_kind kind, lua_CFunction index) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm_of(L)->metatables[kind]);
  lua_getfield(L, -1, "__index");
  lua_pushcclosure(L, index, 1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

/* The tail call leaves no frame of ours: so errors of `finish` are told at the policy's line. */
static const char waiting[] = "local start, finish = ...\n"
                              "return function(...) start(...) return finish(...) end\n";

void handle_push_waiting(lua_State *L, lua_CFunction start, lua_CFunction finish) {
  if (luaL_loadbuffer(L, waiting, sizeof waiting - 1, "=perilune") != 0) lua_error(L);
  lua_pushcfunction(L, start);
  lua_pushcfunction(L, finish);
  lua_call(L, 2, 1);
}

void handle_add_waiting(lua_State *L, enum handle_kind kind, const char *name, lua_CFunction start,
                        lua_CFunction finish) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm_of(L)->metatables[kind]);
  lua_getfield(L, -1, "__index");
  handle_push_waiting(L, start, finish);
  lua_setfield(L, -2, name);
  lua_pop(L, 2);
}

/* Is the file one of our modules or default policies? */
static bool is_our_file(const struct vm *vm, const char *file) {
  struct str text = str_of(file);
  if (!str_starts_with(text, vm->library)) return false;
  text = str_from(text, vm->library.len);
  return str_starts_with(text, STR("/lua/perilune/")) || str_starts_with(text, STR("/scripts/"));
}

/* Is the frame at `level` C, or Lua of ours, and not the policy's? */
static bool is_ours(lua_State *L, int level) {
  lua_Debug at = {0};
  if (!lua_getstack(L, level, &at) || !lua_getinfo(L, "S", &at)) return false;
  if (*at.what == 'C' || strcmp(at.source, "=perilune") == 0) return true;
  return *at.source == '@' && is_our_file(vm_of(L), at.source + 1);
}

int handle_raise(lua_State *L, const char *format, ...) {
  va_list arguments;
  int level = 1;
  while (is_ours(L, level)) level++;
  luaL_where(L, level);
  va_start(arguments, format);
  lua_pushvfstring(L, format, arguments);
  va_end(arguments);
  lua_concat(L, 2);
  return lua_error(L);
}

void handle_set_metatable(lua_State *L, enum handle_kind kind) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm_of(L)->metatables[kind]);
  lua_setmetatable(L, -2);
}

void *handle_new(lua_State *L, enum handle_kind kind, size_t bytes) {
  struct handle *handle = lua_newuserdata(L, bytes);
  memset(handle, 0, bytes);
  handle->tag = TAG | kind;
  handle_set_metatable(L, kind);
  return handle;
}

enum handle_kind handle_kind(const struct handle *handle) { return (enum handle_kind)(handle->tag & 0xff); }

/* Light userdata has no length. */
void *handle_test(lua_State *L, int index, enum handle_kind kind) {
  struct handle *handle = lua_touserdata(L, index);
  if (!handle || lua_objlen(L, index) < sizeof *handle) return NULL;
  return handle->tag == (TAG | kind) ? handle : NULL;
}

/* A wrong argument is most often `.` for `:`, which LuaJIT's own message would not say. */
void *handle_check(lua_State *L, int index, enum handle_kind kind) {
  void *handle = handle_test(L, index, kind);
  if (handle) return handle;
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm_of(L)->metatables[kind]);
  lua_getfield(L, -1, "__name");
  handle_raise(L, "%s expected as argument %d, got %s (methods are called with a colon)", lua_tostring(L, -1),
               index, luaL_typename(L, index));
  return NULL;
}
