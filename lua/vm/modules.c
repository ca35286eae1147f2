// SPDX-License-Identifier: Apache-2.0
// modules: "perilune.x" is lua/perilune/x.lua or scripts/x.lua of ours; any other module is looked for beside the
// script, then where LuaJIT looks. dofile and loadfile also take names relative to the script, like every option
// that names a file: a policy must not depend on the directory in which the proxy was started. In `perilune test`
// names are relative to the working directory, since the runner loads specs.
//
// A name that our module does not have raises an error with a suggestion; a nil would fail later, somewhere else.
#include "lua/vm/modules.h"

#include <dirent.h>
#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/nearest.h"
#include "base/safe_file.h"
#include "lua/vm/handle.h"
#include "lua/vm/push.h"
#include "lua/vm/vm.h"
#include "net/virtual_time.h"

/* --- the library ---------------------------------------------------------------------------------------- */

static bool has_library(const char *root) {
  char file[PATH_MAX + 32];
  snprintf(file, sizeof file, "%s/lua/perilune/init.lua", root);
  return access(file, R_OK) == 0;
}

/* Of the build tree the binary lies in, or of its installation. */
static bool find_library(char root[PATH_MAX]) {
  static const char *const beside[] = {"..", "../share/perilune", "../.."};
  char binary[PATH_MAX - 32], place[PATH_MAX];
  ssize_t length = readlink("/proc/self/exe", binary, sizeof binary - 1);
  if (length < 0) return false;
  binary[length] = '\0';
  *(strrchr(binary, '/') + 1) = '\0';
  for (size_t i = 0; i < sizeof beside / sizeof *beside; i++) {
    snprintf(place, sizeof place, "%s%s", binary, beside[i]);
    if (has_library(place)) return realpath(place, root) != NULL;
  }
  return false;
}

/* --- for the loaders, in Lua ----------------------------------------------------------------------------- */

/* The module that a file of this name is, or a folder with an init.lua, malloc'd; NULL: it is neither. */
static char *module_of(const char *directory, const char *file) {
  const char *end = strrchr(file, '.');
  char inside[PATH_MAX];
  if (end && strcmp(end, ".lua") == 0) return str_to_cstring((struct str){file, (size_t)(end - file)});
  int length = snprintf(inside, sizeof inside, "%s/%s/init.lua", directory, file);
  bool is_module = !end && length < (int)sizeof inside && access(inside, R_OK) == 0;
  return is_module ? str_to_cstring(str_of(file)) : NULL;
}

/* Offers the modules in a directory. What is found then is `*kept`, malloc'd. */
static void offer_modules(struct nearest *n, const char *directory, char **kept) {
  DIR *listing = opendir(directory);
  const struct dirent *entry;
  while (listing && (entry = readdir(listing))) {
    char *name = module_of(directory, entry->d_name), *worse = name;
    if (name) nearest_offer(n, name);
    if (name && n->found == name) {
      worse = *kept;
      *kept = name;
    }
    free(worse);
  }
  if (listing) closedir(listing);
}

/* nearest_of(word, directory, ...): the name of a module in one of them; nil -n +1 */
static int nearest_of(lua_State *L) {
  struct nearest n = nearest_to(luaL_checkstring(L, 1));
  char *kept = NULL;
  for (int i = 2; i <= lua_gettop(L); i++) offer_modules(&n, luaL_checkstring(L, i), &kept);
  lua_pushstring(L, n.found);
  free(kept);
  return 1;
}

/* is_there(path): true of a file that can be read; nil, or nil and why it must not be opened -1 +2 */
static int is_there(lua_State *L) {
  int fd = safe_open_to_read(luaL_checkstring(L, 1));
  if (fd < 0) {
    lua_pushnil(L);
    lua_pushstring(L, errno == ENOTSUP || errno == EISDIR ? safe_reason(errno) : NULL);
    return 2;
  }
  close(fd);
  lua_pushboolean(L, true);
  return 1;
}

/* Given: package, loadfile, is_there, nearest_of, raise, the library, the directory of the script, the set of files,
 * in a test? */
static const char loaders[] =
    "local package, loadfile, is_there, nearest_of, raise, library, own, files, in_test = ...\n"
    "local modules, scripts = library .. '/lua/perilune/', library .. '/scripts/'\n"
    "package.path = library .. '/lua/?.lua;' .. library .. '/lua/?/init.lua;' .. own .. '?.lua;' .. own .. "
    "'?/init.lua;'\n"
    "  .. package.path\n"
    "package.cpath = own .. '?.so;' .. package.cpath\n"
    "local loaders = package.loaders\n"
    "\n"
    "local function search(name, path, separator, replacement)\n"
    "  name = name:gsub('%' .. (separator or '.'), ((replacement or '/'):gsub('%%', '%%%%')))\n"
    "  local places = {}\n"
    "  for template in path:gmatch '[^;]+' do\n"
    "    local file = template:gsub('%?', (name:gsub('%%', '%%%%')))\n"
    "    local found, why = is_there(file)\n"
    "    if found then return file end\n"
    "    if why then return nil, file .. ': ' .. why, true end\n"
    "    places[#places + 1] = (\"\\n\\tno file '%s'\"):format(file)\n"
    "  end\n"
    "  return nil, table.concat(places)\n"
    "end\n"
    "\n"
    "package.searchpath = function(...)\n"
    "  local file, places = search(...)\n"
    "  return file, places\n"
    "end\n"
    "\n"
    "local function find(name, where, module)\n"
    "  local path = package[where]\n"
    "  if type(path) ~= 'string' then raise((\"'package.%s' must be a string\"):format(where)) end\n"
    "  local file, places, is_fault = search(name, path)\n"
    "  if is_fault then raise((\"module '%s' cannot be loaded: %s\"):format(module or name, places)) end\n"
    "  return file, places\n"
    "end\n"
    "\n"
    "local function guard(module, name)\n"
    "  if type(module) ~= 'table' or getmetatable(module) then return end\n"
    "  setmetatable(module, { __index = function(_, key)\n"
    "    if type(key) ~= 'string' or key:sub(1, 2) == '__' then return nil end\n"
    "    local names = {}\n"
    "    for known in next, module do names[#names + 1] = known end\n"
    "    raise((\"%s has no '%s'%s\"):format(name, key, require('perilune.check').meant(key, names)))\n"
    "  end })\n"
    "end\n"
    "\n"
    "local function load(name, file)\n"
    "  local chunk, why = loadfile(file)\n"
    "  if not chunk then error((\"error loading module '%s' from file '%s':\\n\\t%s\"):format(name, file, "
    "why), 0) end\n"
    "  local short = name:match '^perilune%.([%w_]+)$'\n"
    "  if not short or file ~= modules .. short .. '.lua' and file ~= scripts .. short .. '.lua' then return "
    "chunk end\n"
    "  return function(...)\n"
    "    local module = chunk(...)\n"
    "    guard(module, name)\n"
    "    return module\n"
    "  end\n"
    "end\n"
    "\n"
    "loaders[2] = function(name)\n"
    "  local file, places = find(name, 'path')\n"
    "  local short = not file and name:match '^perilune%.(.+)$'\n"
    "  if short then file = search(short, scripts .. '?.lua') end\n"
    "  return file and load(name, file) or places\n"
    "end\n"
    "\n"
    "local c_module, c_package = loaders[3], loaders[4]\n"
    "loaders[3] = function(name)\n"
    "  local file, places = find(name, 'cpath')\n"
    "  return file and c_module(name) or places\n"
    "end\n"
    "loaders[4] = function(name)\n"
    "  local root = name:match '^([^.]*)%.'\n"
    "  if not root then return nil end\n"
    "  local file, places = find(root, 'cpath', name)\n"
    "  return file and c_package(name) or places\n"
    "end\n"
    "\n"
    "local function suggestion(name)\n"
    "  if name:find '%.lua$' then return (': write require \"%s\"'):format((name:gsub('%.lua$', ''))) end\n"
    "  name = name:gsub('/', '.')\n"
    "  if name == 'socket' or name:find '^socket%.' or name == 'ltn12' or name == 'mime' then\n"
    "    return ': write require \"perilune.luasocket\" first'\n"
    "  end\n"
    "  if name:find '^resty%.' or name:find '^ngx%.' then\n"
    "    local first = package.loaded['perilune.ngx'] and '' or ': write require \"perilune.ngx\" {} first'\n"
    "    return first .. (first == '' and ': ' or ', and ') .. 'copy lib/resty of the library beside the "
    "policy, or name its place in "
    "package.path'\n"
    "  end\n"
    "  local near = nearest_of(name:match '[^.]+$' or name, modules, scripts)\n"
    "  if near then return (': did you mean perilune.%s?'):format(near) end\n"
    "  if name:find '^perilune%.' then return ': perilune has no module of that name' end\n"
    "  local folder, last = name:match '^(.-)([^.]+)$'\n"
    "  if not last then return '' end\n"
    "  near = nearest_of(last, own .. folder:gsub('%.', '/'))\n"
    "  if near then return (': did you mean %s%s?'):format(folder, near) end\n"
    "  local path = name:gsub('%.', '/')\n"
    "  return (': neither %s%s.lua nor %s%s/init.lua is there, and it is not in LuaJIT\\'s package.path "
    "either')\n"
    "    :format(own, path, own, path)\n"
    "end\n"
    "\n"
    "local last = #loaders + 1\n"
    "loaders[last] = function(name)\n"
    "  if #loaders > last then return '' end\n"
    "  raise((\"module '%s' not found%s\"):format(name, suggestion(name)))\n"
    "end\n"
    "local function beside(name)\n"
    "  if in_test or type(name) ~= 'string' then return name end\n"
    "  if name:sub(1, 1) ~= '/' and own ~= './' then name = own .. name end\n"
    "  files[name] = true\n"
    "  return name\n"
    "end\n"
    "_G.loadfile = function(name, ...) return loadfile(beside(name), ...) end\n"
    "_G.dofile = function(name)\n"
    "  local chunk, why = loadfile(beside(name))\n"
    "  if not chunk then error(why, 0) end\n"
    "  return chunk()\n"
    "end\n";

static char files_key; /* its address is the key of the set in the registry */

void modules_push_files(lua_State *L) {
  lua_pushlightuserdata(L, &files_key);
  lua_rawget(L, LUA_REGISTRYINDEX);
}

/* Calls the text above. -0 +0 */
static void put_loaders(lua_State *L) {
  const struct vm *vm = vm_of(L);
  push_code(L, loaders);
  lua_getglobal(L, "package");
  lua_getglobal(L, "loadfile");
  lua_pushcfunction(L, is_there);
  lua_pushcfunction(L, nearest_of);
  lua_pushcfunction(L, handle_raise_text);
  lua_pushlstring(L, vm->library.ptr, vm->library.len);
  lua_pushstring(L, vm->directory.len ? vm->directory.ptr : "./");
  modules_push_files(L);
  lua_pushboolean(L, virtual_time.on);
  lua_call(L, 9, 0);
}

void open_modules(lua_State *L) {
  char root[PATH_MAX];
  if (!find_library(root))
    luaL_error(L, "perilune's Lua modules were found neither beside the binary nor in ../share");
  vm_of(L)->library = (struct str){str_to_cstring(str_of(root)), strlen(root)};
  lua_pushlightuserdata(L, &files_key);
  lua_newtable(L);
  lua_rawset(L, LUA_REGISTRYINDEX);
  put_loaders(L);
}
