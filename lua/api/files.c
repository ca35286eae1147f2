// SPDX-License-Identifier: Apache-2.0
// files: core.files_root and core.files_serve, for perilune.files (scripts/files.lua). Serving may wait for a disk:
// then the task is parked, and Lua asks again until it gets another word than "waits".
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "exchange/exchange.h"
#include "exchange/file_answer.h"
#include "lua/api/session.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/task.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"

struct files {
  struct handle handle;
  struct arena arena; /* texts of the root */
  struct file_root root;
  bool has_arena;
};

/* --- a root ----------------------------------------------------------------------------------------------- */

/* A field of the table at 1; empty where it is none. -0 +0 */
static struct str text_field(lua_State *L, struct arena *arena, const char *name) {
  lua_getfield(L, 1, name);
  struct str text = lua_isstring(L, -1) ? text_at(L, -1) : (struct str){"", 0};
  struct str kept = arena_dup(arena, (struct str){text.ptr, text.len + 1});
  lua_pop(L, 1);
  return (struct str){kept.ptr, text.len};
}

static bool flag_field(lua_State *L, const char *name) {
  lua_getfield(L, 1, name);
  bool flag = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return flag;
}

/* types = { "ending", "type", ... } -0 +0 */
static void read_types(lua_State *L, struct files *files) {
  lua_getfield(L, 1, "types");
  int table = lua_gettop(L);
  unsigned count = (unsigned)lua_objlen(L, table) / 2;
  struct file_type *types = arena_zalloc(&files->arena, (count + 1) * sizeof *types);
  for (unsigned i = 0; i < 2 * count; i++) {
    lua_rawgeti(L, table, (int)i + 1);
    struct str text = arena_dup(&files->arena, text_at(L, -1));
    if (i % 2)
      types[i / 2].type = text;
    else
      types[i / 2].ending = text;
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  files->root.types = types;
  files->root.type_count = count;
}

/* core.files_root { path, strip, index, cache_control, types, lists, shows_hidden, no_precoded }: what files_serve
 * serves; or nil and why the folder cannot be served -1 +1 | -1 +2 */
static int new_root(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  struct files *files = handle_new(L, HANDLE_FILES, sizeof *files);
  arena_init_roaming(&files->arena);
  files->has_arena = true;
  files->root.path = text_field(L, &files->arena, "path");
  files->root.strip = text_field(L, &files->arena, "strip");
  files->root.index = text_field(L, &files->arena, "index");
  files->root.cache_control = text_field(L, &files->arena, "cache_control");
  files->root.lists = flag_field(L, "lists");
  files->root.shows_hidden = flag_field(L, "shows_hidden");
  files->root.no_precoded = flag_field(L, "no_precoded");
  read_types(L, files);
  int fd = open(files->root.path.ptr, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return push_nil_why(L, strerror(errno));
  close(fd);
  return 1;
}

static void end(void *ended) {
  struct files *files = ended;
  if (files->has_arena) arena_free(&files->arena);
  files->has_arena = false;
}

/* --- serving ---------------------------------------------------------------------------------------------- */

static const char *const words[] = {
    [FILE_ANSWERED] = "answered", [FILE_MISSING] = "missing", [FILE_REFUSED] = "refused",
    [FILE_METHOD] = "method",     [FILE_WAITS] = "waits",     [FILE_BUSY] = "busy"};

static struct exchange *check(lua_State *L) {
  struct exchange *x = session_check(L, 1);
  session_phase(L, x, ~(PHASE(answer_filter) | PHASE(logging) | BODY_PHASES), "perilune.files");
  if (!exchange_can_answer(x)) handle_raise(L, "perilune.files comes too late: the response has begun");
  return x;
}

static void on_looked(void *task) { task_wake(task); }
static void cancel(void *file) { file_cancel(file); }

/* core.files_serve(session, root): a word of those above -2 +1 (yields) */
static int serve(lua_State *L) {
  struct exchange *x = check(L);
  struct files *files = handle_check(L, 2, HANDLE_FILES);
  struct task *task = task_to_park(L, "perilune.files");
  if (file_serve(x, &files->root, on_looked, task) != FILE_WAITS) return 0;
  return task_wait(L, cancel, x->rare->file);
}
static int served(lua_State *L) {
  lua_pushstring(L, words[session_check(L, 1)->rare->file->result]);
  return 1;
}

static const luaL_Reg no_methods[] = {{NULL, NULL}};
static const luaL_Reg functions[] = {{"files_root", new_root}, {NULL, NULL}};

void open_files(lua_State *L) {
  handle_define(L, HANDLE_FILES, "perilune.files_root", no_methods, NULL);
  handle_set_end(L, HANDLE_FILES, end);
  luaL_register(L, NULL, functions);
  handle_push_waiting(L, serve, served);
  lua_setfield(L, -2, "files_serve");
}
