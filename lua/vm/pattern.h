// SPDX-License-Identifier: Apache-2.0
// pattern: Lua patterns, matched so that the watchdog can interrupt it. LuaJIT's own matcher is C code that
// checks no hook; lua/vm/pattern_library.c uses this one for patterns that may take long.
#ifndef PERILUNE_LUA_PATTERN_H
#define PERILUNE_LUA_PATTERN_H

#include <lua.h>

#include "base/str.h"

struct vm;

enum { PATTERN_CAPTURES = 32, PATTERN_DEPTH = 200 };

struct pattern_item;

/* A pattern, read. Its memory is a userdata of Lua. */
struct pattern {
  struct pattern_item *items;
  unsigned count;
  unsigned captures;
  bool is_anchored; /* begins with '^', where that has a meaning */
};

struct capture {
  const char *start;
  ptrdiff_t length; /* or */
#define CAPTURE_OPEN     (-1)
#define CAPTURE_POSITION (-2)
};

struct match {
  lua_State *L;
  struct vm *vm;
  const struct pattern *pattern;
  const char *subject, *end;
  unsigned level; /* captures begun */
  unsigned depth, steps;
  struct capture captures[PATTERN_CAPTURES];
};

/* Raises where the pattern is malformed. Pushes what holds its memory. -0 +1 */
void pattern_read(lua_State *L, struct str text, bool has_anchor, struct pattern *pattern);
/* Where the match that begins at `at` ends; NULL: there is none. Raises when the time is up. */
const char *pattern_match(struct match *m, const char *at);

#endif
