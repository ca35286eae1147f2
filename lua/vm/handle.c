// SPDX-License-Identifier: Apache-2.0
// handle: makes, checks and ends userdata. A tag is a constant that userdata of other libraries does not begin with,
// and the kind. One finalizer serves all kinds: it ends only handles that have not ended yet, whatever its argument
// is, and using them after that raises an error. Handles of kinds with an end function are in a list, because a VM
// whose Lua state is given up runs no finalizers.
#include "lua/vm/handle.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/nearest.h"
#include "lua/vm/push.h"
#include "lua/vm/vm.h"

#define TAG   0x5045524900000000u
#define ENDED 0x5045524945000000u

enum { METHODS_MOST = 64 }; /* of one kind that a message lists */

const char *handle_nearest_key(lua_State *L, int index, const char *name) {
  struct nearest n = nearest_to(name);
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1))
    if (lua_type(L, -2) == LUA_TSTRING) nearest_offer(&n, lua_tostring(L, -2));
  return n.found;
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* "call, close, connect": the names in the table at `index`, in order. -0 +1 */
static const char *push_names(lua_State *L, int index) {
  const char *names[METHODS_MOST];
  size_t count = 0;
  luaL_Buffer list;
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1))
    if (lua_type(L, -2) == LUA_TSTRING && count < METHODS_MOST) names[count++] = lua_tostring(L, -2);
  qsort(names, count, sizeof *names, by_name);
  luaL_buffinit(L, &list);
  for (size_t i = 0; i < count; i++) {
    luaL_addstring(&list, i ? ", " : "");
    luaL_addstring(&list, names[i]);
  }
  luaL_pushresult(&list);
  return lua_tostring(L, -1);
}

/* What the table of methods at 1 does not have; the handle's name is the upvalue. -2 +0 */
static int refuse_method(lua_State *L) {
  const char *what = lua_tostring(L, lua_upvalueindex(1));
  const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
  const char *near = handle_nearest_key(L, 1, name);
  if (near) return handle_raise(L, "%s has no method '%s': did you mean %s?", what, name, near);
  return handle_raise(L, "%s has no method '%s': there is %s", what, name, push_names(L, 1));
}

/* Of the table of methods on top: a name that is nil would fail with nothing said of it. -0 +0 */
static void guard_methods(lua_State *L, const char *name) {
  lua_newtable(L);
  lua_pushstring(L, name);
  lua_pushcclosure(L, refuse_method, 1);
  lua_setfield(L, -2, "__index");
  lua_setmetatable(L, -2);
}

/* An assignment to a handle, by its name and whether it has a method `set`, the upvalues: it would be lost. -3 +0 */
static int refuse_assignment(lua_State *L) {
  const char *what = lua_tostring(L, lua_upvalueindex(1));
  const char *key = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
  if (strcmp(what, "perilune.dict") == 0)
    return handle_raise(L, "a %s keeps values by its methods: write :set(\"%s\", value)", what, key);
  return handle_raise(L, "a %s keeps no fields, such as '%s': %s", what, key,
                      lua_toboolean(L, lua_upvalueindex(2))
                          ? "write :set(value)"
                          : "keep your own data in a table, or in the ctx of the request");
}

/* Into the metatable below the table of methods on top, before metamethods of the kind's own. -0 +0 */
static void guard_fields(lua_State *L, const char *name) {
  lua_pushstring(L, name);
  lua_pushliteral(L, "set");
  lua_rawget(L, -3);
  lua_pushboolean(L, !lua_isnil(L, -1));
  lua_remove(L, -2);
  lua_pushcclosure(L, refuse_assignment, 2);
  lua_setfield(L, -3, "__newindex");
}

void handle_define(lua_State *L, enum handle_kind kind, const char *name, const luaL_Reg *methods,
                   const luaL_Reg *metamethods) {
  lua_newtable(L);
  lua_pushstring(L, name);
  lua_setfield(L, -2, "__name");
  lua_pushstring(L, name);
  lua_setfield(L, -2, "__metatable");
  lua_newtable(L);
  luaL_register(L, NULL, methods);
  if (methods->name) guard_methods(L, name);
  if (methods->name) guard_fields(L, name); /* what has none is a table with fields: a peer */
  lua_setfield(L, -2, "__index");
  if (metamethods) luaL_register(L, NULL, metamethods);
  vm_of(L)->kinds.metatables[kind] = luaL_ref(L, LUA_REGISTRYINDEX);
}

/* --- the end -------------------------------------------------------------------------------------------- */

static void end_handle(struct vm *vm, struct handle *handle) {
  enum handle_kind kind = handle_kind(handle);
  CHECK(kind < HANDLE_KINDS && vm->kinds.ends[kind]);
  list_remove(&handle->link);
  handle->tag = ENDED | kind;
  vm->kinds.ends[kind](handle);
}

/* Full userdata of ours, ended or not; light userdata has no length. */
static struct handle *handle_at(lua_State *L, int index) {
  struct handle *handle = lua_touserdata(L, index);
  return handle && lua_objlen(L, index) >= sizeof *handle ? handle : NULL;
}

/* -1 +0 */
static int collect(lua_State *L) {
  struct vm *vm = vm_of(L);
  struct handle *handle = handle_at(L, 1);
  if (!handle || (handle->tag & ~(uint64_t)0xff) != TAG) return 0;
  if (handle_kind(handle) < HANDLE_KINDS && vm->kinds.ends[handle_kind(handle)]) end_handle(vm, handle);
  return 0;
}

void handle_set_end(lua_State *L, enum handle_kind kind, handle_end_fn *end) {
  vm_of(L)->kinds.ends[kind] = end;
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm_of(L)->kinds.metatables[kind]);
  lua_pushcfunction(L, collect);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
}

void handles_end(struct vm *vm) {
  while (!list_is_empty(&vm->kinds.handles))
    end_handle(vm, LIST_ENTRY(vm->kinds.handles.next, struct handle, link));
}

/* --- methods that wait ---------------------------------------------------------------------------------- */

void handle_wrap_index(lua_State *L, enum handle_kind kind, lua_CFunction index) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm_of(L)->kinds.metatables[kind]);
  lua_getfield(L, -1, "__index");
  lua_pushcclosure(L, index, 1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

/* The tail call leaves no frame of ours: so errors of `finish` are told at the policy's line. */
static const char waiting[] = "local start, finish = ...\n"
                              "return function(...) start(...) return finish(...) end\n";

void handle_push_waiting(lua_State *L, lua_CFunction start, lua_CFunction finish) {
  push_code(L, waiting);
  lua_pushcfunction(L, start);
  lua_pushcfunction(L, finish);
  lua_call(L, 2, 1);
}

void handle_add_waiting(lua_State *L, enum handle_kind kind, const char *name, lua_CFunction start,
                        lua_CFunction finish) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm_of(L)->kinds.metatables[kind]);
  lua_getfield(L, -1, "__index");
  handle_push_waiting(L, start, finish);
  lua_setfield(L, -2, name);
  lua_pop(L, 2);
}

bool handle_is_own_source(const struct vm *vm, const char *source) {
  struct str text = str_of(source + 1);
  if (strcmp(source, "=perilune") == 0) return true;
  if (*source != '@') return false;
  if (!str_starts_with(text, vm->library)) return false;
  text = str_from(text, vm->library.len);
  return str_starts_with(text, STR("/lua/perilune/")) || str_starts_with(text, STR("/scripts/"));
}

/* Is the frame at `level` C, or Lua of ours, and not the policy's? */
static bool is_ours(lua_State *L, int level) {
  lua_Debug at = {0};
  if (!lua_getstack(L, level, &at) || !lua_getinfo(L, "S", &at)) return false;
  return *at.what == 'C' || handle_is_own_source(vm_of(L), at.source);
}

int handle_policys_level(lua_State *L, int level) {
  while (is_ours(L, level)) level++;
  return level;
}

void handle_push_where(lua_State *L, int level) {
  lua_Debug at;
  int policys = handle_policys_level(L, level);
  luaL_where(L, lua_getstack(L, policys, &at) ? policys : level);
}

int handle_raise(lua_State *L, const char *format, ...) {
  va_list arguments;
  luaL_where(L, handle_policys_level(L, 1));
  va_start(arguments, format);
  lua_pushvfstring(L, format, arguments);
  va_end(arguments);
  lua_concat(L, 2);
  return lua_error(L);
}

int handle_raise_text(lua_State *L) { return handle_raise(L, "%s", luaL_checkstring(L, 1)); }

void handle_set_metatable(lua_State *L, enum handle_kind kind) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm_of(L)->kinds.metatables[kind]);
  lua_setmetatable(L, -2);
}

void *handle_new(lua_State *L, enum handle_kind kind, size_t bytes) {
  struct vm *vm = vm_of(L);
  if (vm->closing) luaL_error(L, "the policy has ended: nothing can be made any more");
  struct handle *handle = lua_newuserdata(L, bytes);
  memset(handle, 0, bytes);
  handle->tag = TAG | kind;
  list_init(&handle->link);
  if (vm->kinds.ends[kind]) list_push_front(&vm->kinds.handles, &handle->link);
  handle_set_metatable(L, kind);
  return handle;
}

enum handle_kind handle_kind(const struct handle *handle) { return (enum handle_kind)(handle->tag & 0xff); }

void *handle_test(lua_State *L, int index, enum handle_kind kind) {
  struct handle *handle = handle_at(L, index);
  return handle && handle->tag == (TAG | kind) ? handle : NULL;
}

/* Our module has functions that nothing else has both of. */
void handle_check_dot(lua_State *L, const char *call) {
  if (!lua_istable(L, 1)) return;
  lua_pushliteral(L, "is_retired");
  lua_rawget(L, 1);
  lua_pushliteral(L, "listen");
  lua_rawget(L, 1);
  bool is_module = lua_isfunction(L, -1) && lua_isfunction(L, -2);
  lua_pop(L, 2);
  if (is_module) handle_raise(L, "%s is called with a dot, not with a colon: write %s(...)", call, call);
}

static bool has_ended(lua_State *L, int index, enum handle_kind kind) {
  const struct handle *handle = handle_at(L, index);
  return handle && handle->tag == (ENDED | kind);
}

/* A wrong argument is most often `.` for `:`, which LuaJIT's own message would not say. */
void *handle_check(lua_State *L, int index, enum handle_kind kind) {
  void *handle = handle_test(L, index, kind);
  if (handle) return handle;
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm_of(L)->kinds.metatables[kind]);
  lua_getfield(L, -1, "__name");
  if (has_ended(L, index, kind)) handle_raise(L, "%s used after it was collected", lua_tostring(L, -1));
  handle_raise(L, "%s expected as argument %d, got %s (methods are called with a colon)", lua_tostring(L, -1),
               index, luaL_typename(L, index));
  return NULL;
}
