// SPDX-License-Identifier: Apache-2.0
// finalizers: a finalizer runs whenever the collector does: inside any hook, any C function that allocates, and
// machine code. If it raises an error there, the code that allocated fails; if that was machine code, the process
// ends, because an error cannot leave machine code there. So each finalizer that a policy sets is called in protected
// mode, and its error is logged. This is done at all places where finalizers can be set: the metatables of newproxy
// and of files, ffi.gc and ffi.metatype. All other metatables of userdata are protected. Our own finalizers are in C,
// and raise nothing.
#include "lua/vm/finalizers.h"

#include "base/log.h"
#include "lua/vm/push.h"

/* The error is the argument. -0 +0 */
static int tell(lua_State *L) {
  const char *why = lua_isstring(L, 1) ? lua_tostring(L, 1) : "(the error is no text)";
  log_about(LOG_ERROR, str_of(why), "a finalizer (__gc) of the policy failed: %s", why);
  return 0;
}

/* The metatable of a proxy, and that of files, is kept from the policy: what getmetatable gives is an empty table
 * before it, through which each assignment goes, the second one of a name as well. That of files is their table of
 * methods, too: they get a copy of it, so that io.stdout.__index leads nowhere. */
static const char guards[] =
    "local tell = ...\n"
    "local pcall, type, pairs = pcall, type, pairs\n"
    "local function guarded(finalizer)\n"
    "  return function(object)\n"
    "    local fine, why = pcall(finalizer, object)\n"
    "    if not fine then pcall(tell, why) end\n"
    "  end\n"
    "end\n"
    "local newproxy, getmetatable, setmetatable = newproxy, getmetatable, setmetatable\n"
    "local function front_of(meta)\n"
    "  return setmetatable({}, { __index = meta, __newindex = function(_, name, value)\n"
    "    if name == '__gc' and value ~= nil then value = guarded(value) end\n"
    "    meta[name] = value\n"
    "  end, __metatable = false })\n"
    "end\n"
    "function _G.newproxy(like)\n"
    "  local proxy = newproxy(like)\n"
    "  if like ~= true then return proxy end\n"
    "  local meta = getmetatable(proxy)\n"
    "  meta.__metatable = front_of(meta)\n"
    "  return proxy\n"
    "end\n"
    "local files = getmetatable(io.stdout)\n"
    "local methods = {}\n"
    "for name, value in pairs(files) do\n"
    "  if not name:find '^__' then methods[name] = value end\n"
    "end\n"
    "files.__index = methods\n"
    "files.__metatable = front_of(files)\n"
    "local preload = package.preload\n"
    "local open_ffi = preload.ffi\n"
    "function preload.ffi(...)\n"
    "  local ffi = open_ffi(...)\n"
    "  local gc, metatype = ffi.gc, ffi.metatype\n"
    "  function ffi.gc(object, finalizer)\n"
    "    return gc(object, finalizer ~= nil and guarded(finalizer) or nil)\n"
    "  end\n"
    "  function ffi.metatype(ctype, meta)\n"
    "    if type(meta) ~= 'table' or meta.__gc == nil then return metatype(ctype, meta) end\n"
    "    local copy = {}\n"
    "    for name, value in pairs(meta) do copy[name] = value end\n"
    "    copy.__gc = guarded(meta.__gc)\n"
    "    return metatype(ctype, copy)\n"
    "  end\n"
    "  return ffi\n"
    "end\n";

void open_finalizers(lua_State *L) {
  push_code(L, guards);
  lua_pushcfunction(L, tell);
  lua_call(L, 1, 0);
}
