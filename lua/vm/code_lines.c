// SPDX-License-Identifier: Apache-2.0
// code_lines: the file is compiled in a Lua state of its own, and not run. LuaJIT's jit.util tells the line of each
// instruction.
#include "lua/vm/code_lines.h"

#include <errno.h>
#include <lauxlib.h>
#include <libgen.h>
#include <lualib.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/number.h"
#include "base/safe_file.h"
#include "base/why.h"

enum { FILE_MOST_BYTES = 64 << 20 };

/* Gives: is there code, the nearest lines before and behind, and does the line run while the file is loaded? */
static const char look[] = "local chunk, wanted = ...\n"
                           "local util = require 'jit.util'\n"
                           "local found, before, behind\n"
                           "local function note(line)\n"
                           "  if line == wanted then found = true end\n"
                           "  if line < wanted and line > (before or 0) then before = line end\n"
                           "  if line > wanted and line < (behind or math.huge) then behind = line end\n"
                           "end\n"
                           "local function each_line(fn, visit)\n"
                           "  for at = 1, math.huge do\n"
                           "    if not util.funcbc(fn, at) then return end\n"
                           "    visit(util.funcinfo(fn, at).currentline)\n"
                           "  end\n"
                           "end\n"
                           "local function each_child(fn, visit)\n"
                           "  for number = -1, -math.huge, -1 do\n"
                           "    local value = util.funck(fn, number)\n"
                           "    if value == nil then return end\n"
                           "    if type(value) == 'proto' then visit(value) end\n"
                           "  end\n"
                           "end\n"
                           "local function look(fn) each_line(fn, note) each_child(fn, look) end\n"
                           "each_child(chunk, look)\n"
                           "local loads = false\n"
                           "each_line(chunk, function(line) loads = loads or line == wanted end)\n"
                           "return found, before, behind, loads\n";

/* What is wrong with the line. The results of `look` are on the stack. -0 +0 */
static bool judge(lua_State *L, char **why) {
  if (lua_toboolean(L, -4)) return true;
  bool has_before = !lua_isnil(L, -3), has_behind = !lua_isnil(L, -2);
  const char *what = lua_toboolean(L, -1)
                         ? "that line runs while the policy loads, when nothing can be stopped"
                         : "no function has code at that line";
  int before = (int)lua_tointeger(L, -3), behind = (int)lua_tointeger(L, -2);
  if (has_before && has_behind)
    return why_say(why, "%s; the nearest lines with code are %d and %d", what, before, behind);
  if (has_before || has_behind)
    return why_say(why, "%s; the nearest line with code is %d", what, has_before ? before : behind);
  return why_say(why, "%s; the file has no function with code", what);
}

static bool compile(lua_State *L, const char *path, char **why) {
  struct buf text = {0};
  if (!safe_read(path, FILE_MOST_BYTES, &text)) return why_say(why, "%s: %s", path, safe_reason(errno));
  int status = luaL_loadbufferx(L, buf_ptr(&text), buf_len(&text), "=it", "t");
  buf_release(&text);
  return status == 0 || why_say(why, "it is no Lua: %s", lua_tostring(L, -1));
}

bool code_lines_has(const char *path, unsigned line, char **why) {
  lua_State *L = luaL_newstate();
  if (!L) return why_say(why, "no memory");
  luaL_openlibs(L);
  bool fine = luaL_loadbuffer(L, look, sizeof look - 1, "=look") == 0 && compile(L, path, why);
  if (fine) {
    lua_pushinteger(L, (lua_Integer)line);
    fine = lua_pcall(L, 2, 4, 0) == 0 ? judge(L, why) : why_say(why, "%s", lua_tostring(L, -1));
  }
  lua_close(L);
  return fine;
}

/* --- FILE:LINE -------------------------------------------------------------------------------------------- */

/* Beside the script, where its modules are, or else as it is given. Malloc'd; NULL: it is in neither place. */
static char *find(const char *file, const char *script) {
  char *copy = *file == '/' ? NULL : realpath(script, NULL), *path = NULL;
  if (copy) {
    char *beside = why_text("%s/%s", dirname(copy), file);
    path = realpath(beside, NULL);
    free(beside);
  }
  free(copy);
  return path ? path : realpath(file, NULL);
}

bool code_lines_point(const char *text, const char *script, struct breakpoint *point, char **why) {
  const char *colon = strrchr(text, ':');
  uint64_t line = 0;
  if (!colon || colon == text || !str_to_u64(str_of(colon + 1), &line) || !line || line > 1000000000)
    return why_say(why, "--break wants FILE:LINE, such as policy.lua:12, not '%s'", text);
  char *file = str_to_cstring((struct str){text, (size_t)(colon - text)});
  char *path = find(file, script), *reason = NULL;
  bool fine = path && code_lines_has(path, (unsigned)line, &reason);
  if (!path)
    why_say(why, "--break %s: there is no file %s, beside the script or here", text, file);
  else if (!fine)
    why_say(why, "--break %s: %s", text, reason);
  free(reason);
  free(file);
  if (!fine) return free(path), false;
  *point = (struct breakpoint){path, str_to_cstring(str_of(text)), (unsigned)line};
  return true;
}
