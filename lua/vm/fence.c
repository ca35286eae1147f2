// SPDX-License-Identifier: Apache-2.0
// fence: a policy is trusted, but its mistakes must not crash or end the process, or remove its limits. So functions
// of LuaJIT's libraries that could do this raise an error that says why: loading bytecode, which LuaJIT does not
// verify; functions of `debug` that change C functions, userdata and the watchdog's hook; os.exit; and the locale,
// which belongs to the whole process. `ffi` and package.loadlib can do everything that C can: a policy that uses them
// is trusted with the process.
#include "lua/vm/fence.h"

#include <errno.h>
#include <lauxlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/safe_file.h"
#include "lua/vm/handle.h"
#include "lua/vm/push.h"
#include "lua/vm/vm.h"
#include "net/virtual_time.h"

/* --- what is refused ------------------------------------------------------------------------------------ */

/* Upvalues: its name, and why. */
static int refuse(lua_State *L) {
  return handle_raise(L, "%s is refused: %s", lua_tostring(L, lua_upvalueindex(1)),
                      lua_tostring(L, lua_upvalueindex(2)));
}

struct refusal {
  const char *library, *name, *why;
  bool in_tests; /* also in `perilune test`, where neither the watchdog looks nor a proxy runs */
};

static const struct refusal refusals[] = {
    {"debug", "getregistry", "it holds what the proxy itself needs", true},
    {"debug", "setlocal", "it can change what a C function is at work with", true},
    {"debug", "sethook", "the hook is the watchdog's", false},
    {"os", "exit", "it would end the whole proxy with all its connections: raise an error, or return", false},
};

/* The library is on top. -0 +0 */
static void put_refusal(lua_State *L, const struct refusal *r) {
  lua_pushfstring(L, "%s.%s", r->library, r->name);
  lua_pushstring(L, r->why);
  lua_pushcclosure(L, refuse, 2);
  lua_setfield(L, -2, r->name);
}

/* -0 +0 */
static void put_refusals(lua_State *L) {
  for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
    if (virtual_time.on && !refusals[i].in_tests) continue;
    lua_getglobal(L, refusals[i].library);
    put_refusal(L, &refusals[i]);
    lua_pop(L, 1);
  }
}

/* --- what is refused for some arguments. Upvalues: LuaJIT's function, its name --------------------------- */

static int raise(lua_State *L, const char *why) {
  return handle_raise(L, "%s is refused here: %s", lua_tostring(L, lua_upvalueindex(2)), why);
}

static bool is_userdata(lua_State *L) { return lua_type(L, 1) == LUA_TUSERDATA || lua_islightuserdata(L, 1); }

/* What C functions keep is what they rely on. */
static int not_of_c(lua_State *L) {
  if (lua_iscfunction(L, 1) || lua_iscfunction(L, 3)) return raise(L, "it would change a C function");
  return push_call_original(L);
}

static int not_of_userdata(lua_State *L) {
  if (is_userdata(L)) return raise(L, "it would change a userdata");
  return not_of_c(L);
}

/* As getmetatable: a metatable that is closed is. */
static int get_metatable(lua_State *L) {
  if (!is_userdata(L) || !luaL_getmetafield(L, 1, "__metatable")) return push_call_original(L);
  return 1;
}

static int set_locale(lua_State *L) {
  if (!lua_isnoneornil(L, 1)) return raise(L, "the locale is the whole process's");
  return push_call_original(L);
}

static const struct {
  const char *library, *name;
  lua_CFunction fenced;
} fenced[] = {
    {"debug", "setupvalue", not_of_c},
    {"debug", "upvaluejoin", not_of_c},
    {"debug", "setfenv", not_of_userdata},
    {"debug", "getfenv", not_of_userdata},
    {"debug", "setmetatable", not_of_userdata},
    {"debug", "getmetatable", get_metatable},
    {"os", "setlocale", set_locale},
};

/* Replaces library[name] by `function`, which has the original and a name for messages as upvalues. -0 +0 */
static void replace(lua_State *L, const char *library, const char *name, lua_CFunction function) {
  lua_getglobal(L, library);
  lua_getfield(L, -1, name);
  lua_pushfstring(L, strcmp(library, "_G") == 0 ? "%s%s" : "%s.%s", strcmp(library, "_G") == 0 ? "" : library,
                  name);
  lua_pushcclosure(L, function, 2);
  lua_setfield(L, -2, name);
  lua_pop(L, 1);
}

/* --- bytecode -------------------------------------------------------------------------------------------- */

static const char no_bytecode[] = "bytecode is refused, for LuaJIT does not verify it: give the source";

/* LuaJIT's message, on top of the stack, says "wrong mode". -1 +1 */
static void explain(lua_State *L) {
  const char *message = lua_tostring(L, -1);
  const char *said = message ? strstr(message, "attempt to load chunk with wrong mode") : NULL;
  if (!said) return;
  lua_pushlstring(L, message, (size_t)(said - message));
  lua_pushstring(L, no_bytecode);
  lua_concat(L, 2);
  lua_remove(L, -2);
}

enum { SCRIPT_MOST_MIB = 64 };

/* The file's text is in vm.scratch meanwhile, which is kept where LuaJIT raises, or is left. */
static int load_text_file(lua_State *L, const char *path, const char *mode) {
  struct buf *text = &vm_of(L)->scratch;
  buf_release(text);
  if (!safe_read(path, (size_t)SCRIPT_MOST_MIB << 20, text)) {
    bool is_large = errno == EFBIG;
    const char *reason = is_large ? "it is larger than a script may be, 64 MiB" : safe_reason(errno);
    lua_pushfstring(L, "cannot open %s: %s", path, reason);
    return LUA_ERRFILE;
  }
  lua_pushfstring(L, "@%s", path);
  int status = luaL_loadbufferx(L, buf_ptr(text), buf_len(text), lua_tostring(L, -1), mode);
  lua_remove(L, -2);
  buf_release(text);
  if (status != 0) explain(L);
  return status;
}

int fence_load_file(lua_State *L, const char *path) { return load_text_file(L, path, "t"); }

/* Text is refused where bytecode alone is wanted. */
static const char *text_mode(const char *mode) { return strchr(mode, 't') ? "t" : ""; }

/* Calls the original with the mode "t" at 3. */
static int load(lua_State *L) {
  if (lua_gettop(L) < 3) lua_settop(L, 3);
  lua_pushstring(L, text_mode(luaL_optstring(L, 3, "bt")));
  lua_replace(L, 3);
  int count = push_call_original(L);
  if (count == 2 && lua_isnil(L, -2)) explain(L);
  return count;
}

/* loadfile(name, mode, environment). LuaJIT's own waits for whatever is at the other end of a FIFO, and of the standard
 * input where no name is given. -0 +1 */
static int load_file(lua_State *L) {
  const char *mode = text_mode(luaL_optstring(L, 2, "bt"));
  if (lua_isnoneornil(L, 1)) return raise(L, "it would wait for the standard input: name a file");
  if (load_text_file(L, luaL_checkstring(L, 1), mode) != 0) {
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
  }
  if (lua_istable(L, 3)) {
    lua_pushvalue(L, 3);
    lua_setfenv(L, -2);
  }
  return 1;
}

/* dofile and `require`, which have loaders of their own in C, go through loadfile: see lua/vm/modules.c. -0 +0 */
static void put_loaders(lua_State *L) {
  replace(L, "_G", "load", load);
  replace(L, "_G", "loadstring", load);
  replace(L, "_G", "loadfile", load_file);
}

/* The profiler is one for the process, and no VM may have it. -0 +0 */
static void drop_profiler(lua_State *L) {
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "preload");
  lua_pushliteral(L, "jit.profile");
  lua_pushliteral(L, "the profiler is one for all threads");
  lua_pushcclosure(L, refuse, 2);
  lua_setfield(L, -2, "jit.profile");
  lua_pop(L, 2);
}

/* LuaJIT crashes when it compiles code that asks a buffer for what its table of methods does not have (that of Debian
 * 12, at least): a function in place of the table has no such fault. */
static const char guarded_buffers[] = "local metatable_of = ...\n"
                                      "local preload = package.preload\n"
                                      "local open = preload['string.buffer']\n"
                                      "preload['string.buffer'] = open and function(...)\n"
                                      "  local buffer = open(...)\n"
                                      "  local meta = metatable_of(buffer.new())\n"
                                      "  local methods = meta.__index\n"
                                      "  if type(methods) == 'table' then\n"
                                      "    function meta.__index(_, name) return methods[name] end\n"
                                      "  end\n"
                                      "  return buffer\n"
                                      "end\n";

/* -0 +0 */
static void guard_buffers(lua_State *L) {
  push_code(L, guarded_buffers);
  lua_getglobal(L, "debug");
  lua_getfield(L, -1, "getmetatable");
  lua_remove(L, -2);
  lua_call(L, 1, 0);
}

void open_fence(lua_State *L) {
  guard_buffers(L); /* with functions that are not fenced yet */
  put_refusals(L);
  for (size_t i = 0; i < sizeof fenced / sizeof *fenced; i++)
    replace(L, fenced[i].library, fenced[i].name, fenced[i].fenced);
  put_loaders(L);
  drop_profiler(L);
}
