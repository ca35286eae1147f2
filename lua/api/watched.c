// SPDX-License-Identifier: Apache-2.0
// watched: files that a policy reads through our modules: they are files of the policy, as its modules are, so --watch
// sees them; and what tells two states of a file apart.
#include <lauxlib.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "lua/vm/modules.h"
#include "lua/vm/nouns.h"
#include "lua/vm/paths.h"
#include "lua/vm/push.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"

/* core.own_file(name): its path, and from now on it is a file of the policy -1 +1 */
static int own_file(lua_State *L) {
  struct arena arena;
  struct str name = text_at(L, 1);
  arena_init(&arena);
  struct str path = paths_of(vm_of(L), name, &arena);
  lua_pushlstring(L, path.ptr, path.len);
  arena_free(&arena);
  modules_push_files(L);
  lua_pushvalue(L, -2);
  lua_pushboolean(L, true);
  lua_rawset(L, -3);
  lua_pop(L, 1);
  return 1;
}

/* core.file_stamp(path): a text that is another one once the file is another one, or has been written; nil: it is not
 * there -1 +1 */
static int file_stamp(lua_State *L) {
  struct stat info;
  char text[160];
  if (stat(luaL_checkstring(L, 1), &info) != 0) return push_nil(L);
  int length =
      snprintf(text, sizeof text, "%llu:%llu:%lld:%lld.%09ld:%lld.%09ld", (unsigned long long)info.st_dev,
               (unsigned long long)info.st_ino, (long long)info.st_size, (long long)info.st_mtim.tv_sec,
               info.st_mtim.tv_nsec, (long long)info.st_ctim.tv_sec, info.st_ctim.tv_nsec);
  lua_pushlstring(L, text, (size_t)length);
  return 1;
}

static const luaL_Reg functions[] = {{"own_file", own_file}, {"file_stamp", file_stamp}, {NULL, NULL}};

void open_watched(lua_State *L) { luaL_register(L, NULL, functions); }
