// SPDX-License-Identifier: Apache-2.0
// discovery: core.discovery, where lua/perilune/discovery_source.lua notes how a source of backends does; and the file
// in which it keeps the last list for the next process.
#include "shared/discovery.h"

#include <errno.h>
#include <lauxlib.h>

#include "base/arena.h"
#include "base/safe_file.h"
#include "lua/api/private_files.h"
#include "lua/api/shared.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/paths.h"
#include "lua/vm/push.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"

/* core.discovery(kind, source, set): one for each source of a set -3 +1 */
static int new_discovery(lua_State *L) {
  lua_settop(L, 3);
  struct discovery_name name = {text_at(L, 1), text_at(L, 2), text_at(L, 3)};
  lua_pushfstring(L, "%s %s %s", name.kind.ptr, name.source.ptr, name.set.ptr);
  shared_push(L, HANDLE_DISCOVERY, &discovery_kind, 4, &name);
  return 1;
}

/* -0 +0 */
static struct discovery *check(lua_State *L) {
  return ((struct shared *)handle_check(L, 1, HANDLE_DISCOVERY))->object;
}

/* -0 +0 */
static uint64_t check_count(lua_State *L, int index) {
  lua_Number count = luaL_checknumber(L, index);
  return count >= 0 && count < 1e15 ? (uint64_t)count : 0;
}

/* discovery:alive(): the list is right -1 +0 */
static int alive(lua_State *L) {
  discovery_note_alive(check(L));
  return 0;
}

/* discovery:listed(backends, skipped, is_change) -4 +0 */
static int listed(lua_State *L) {
  discovery_note_list(check(L), check_count(L, 2), check_count(L, 3), lua_toboolean(L, 4));
  return 0;
}

/* discovery:failed(why) -2 +0 */
static int failed(lua_State *L) {
  discovery_note_failure(check(L), text_at(L, 2));
  return 0;
}

/* discovery:restored(backends, Unix time): from the file -3 +0 */
static int restored(lua_State *L) {
  discovery_note_kept(check(L), check_count(L, 2), (time_t)check_count(L, 3));
  return 0;
}

/* discovery:has_list(): has it had one in this process? -1 +1 */
static int has_list(lua_State *L) {
  struct discovery_facts facts = discovery_read(check(L));
  lua_pushboolean(L, facts.good.date && !facts.is_kept);
  return 1;
}

/* --- its file --------------------------------------------------------------------------------------------- */

/* core.kept_path(name): of a file that the policy's process writes, relative to the script -1 +1 */
static int kept_path(lua_State *L) {
  struct arena arena;
  arena_init(&arena);
  struct str full = paths_of(vm_of(L), text_at(L, 1), &arena);
  lua_pushlstring(L, full.ptr, full.len);
  arena_free(&arena);
  private_file(L, lua_tostring(L, -1));
  return 1;
}

/* core.replace_file(path, text): all of it or nothing, and on the disk. True; or nil and why -2 +1 | -2 +2 */
static int replace_file(lua_State *L) {
  struct str text = text_at(L, 2);
  if (safe_replace(luaL_checkstring(L, 1), text)) return push_true(L);
  const char *reason = safe_reason_new(errno);
  lua_pushnil(L);
  lua_pushfstring(L, "%s: %s", lua_tostring(L, 1), reason);
  return 2;
}

static const luaL_Reg methods[] = {{"alive", alive},       {"listed", listed},     {"failed", failed},
                                   {"restored", restored}, {"has_list", has_list}, {NULL, NULL}};
static const luaL_Reg functions[] = {
    {"discovery", new_discovery}, {"kept_path", kept_path}, {"replace_file", replace_file}, {NULL, NULL}};

void open_discovery(lua_State *L) {
  handle_define(L, HANDLE_DISCOVERY, "perilune.discovery", methods, NULL);
  handle_set_end(L, HANDLE_DISCOVERY, shared_end);
  luaL_register(L, NULL, functions);
}
