// SPDX-License-Identifier: Apache-2.0
// compress: Lua values into struct compression and struct codings. Each coding takes false, or a level: the highest
// ones of the libraries are left out, since they are for files that are made once, and would hold up all others.
#include "lua/api/compress.h"

#include <lauxlib.h>

#include "exchange/codings.h"
#include "exchange/exchange.h"
#include "http/grammar.h"
#include "lua/api/options.h"
#include "lua/api/session.h"
#include "lua/vm/script.h"
#include "lua/vm/token.h"

#define PLACE "perilune.listen: option 'compress'"

static const struct {
  const char *name;
  enum coding coding;
  lua_Number most;
} codings[] = {{"zstd", CODING_ZSTD, 12}, {"br", CODING_BR, 9}, {"gzip", CODING_GZIP, 9}};

static const char *const types_form[] = {": write { \"text/\", \"application/json\" }", NULL};
static const struct option options[] = {
    {"zstd", OPTION_ANY, 0, NULL},
    {"br", OPTION_ANY, 0, NULL},
    {"gzip", OPTION_ANY, 0, NULL},
    {"types", OPTION_TABLE, 0, types_form},
    {"min", OPTION_BYTES, offsetof(struct compression, rules.least_bytes), NULL},
    {"cross_site", OPTION_FLAG, offsetof(struct compression, rules.codes_cross_site), NULL},
};
static const char level_hint[] = "each coding has its level: write gzip = 6, br = 4, zstd = 3";
static const struct option_hint hints[] = {{"level", level_hint},
                                           {"quality", level_hint},
                                           {"brotli", "its name is br"},
                                           {"min_length", "write min = 1024"},
                                           {"min_size", "write min = 1024"},
                                           {NULL, NULL}};
static const struct option_set option_set = OPTION_SET_HINTS(options, hints);

/* The table is on top. -0 +0 */
static void read_levels(lua_State *L, struct compression *into) {
  for (size_t i = 0; i < sizeof codings / sizeof *codings; i++) {
    lua_getfield(L, -1, codings[i].name);
    lua_Number level = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
    if (lua_isboolean(L, -1) && !lua_toboolean(L, -1)) {
      into->rules.offered &= ~(1u << codings[i].coding);
    } else if (level >= 1 && level <= codings[i].most && level == (lua_Number)(int)level) {
      into->levels[codings[i].coding] = (unsigned)level;
    } else if (!lua_isnil(L, -1) && !(lua_isboolean(L, -1) && lua_toboolean(L, -1))) {
      luaL_error(L, PLACE ": '%s' must be a level from 1 to %d, true or false", codings[i].name,
                 (int)codings[i].most);
    }
    lua_pop(L, 1);
  }
}

/* "text/html", or "text/" for all of text. */
static bool is_type(struct str text) {
  size_t slash = str_find(text, '/');
  if (slash == 0 || slash == text.len) return false;
  struct str behind = str_from(text, slash + 1);
  return grammar_is_all((struct str){text.ptr, slash}, CLASS_TOKEN) &&
         (!behind.len || grammar_is_all(behind, CLASS_TOKEN));
}

/* The table is on top. -0 +0 */
static void read_types(lua_State *L, struct compression *into, struct arena *arena) {
  lua_getfield(L, -1, "types");
  unsigned count = lua_istable(L, -1) ? (unsigned)lua_objlen(L, -1) : 0;
  if (lua_istable(L, -1)) {
    struct str *types = arena_zalloc(arena, (count + 1) * sizeof *types);
    for (unsigned i = 0; i < count; i++) {
      lua_rawgeti(L, -1, (int)i + 1);
      struct str type = {"", 0};
      if (lua_type(L, -1) == LUA_TSTRING) type.ptr = lua_tolstring(L, -1, &type.len);
      if (!is_type(type))
        luaL_error(L, PLACE
                   ": 'types' must be an array of types such as \"text/css\", or \"text/\" for all of text");
      types[i] = arena_dup(arena, type);
      lua_pop(L, 1);
    }
    if (!count) luaL_error(L, PLACE ": 'types' is empty: write compress = false");
    into->rules.types = types;
    into->rules.type_count = count;
  }
  lua_pop(L, 1);
}

const struct compression *compress_read(lua_State *L, int index, struct arena *arena) {
  const struct compression *read = NULL;
  lua_getfield(L, index, "compress");
  if (lua_isboolean(L, -1)) {
    if (lua_toboolean(L, -1)) read = &compression_default;
  } else if (lua_istable(L, -1)) {
    struct compression *into = arena_alloc(arena, sizeof *into);
    *into = compression_default;
    if (!options_read(L, lua_gettop(L), &option_set, into, arena))
      luaL_error(L, PLACE ": %s", lua_tostring(L, -1));
    read_levels(L, into);
    read_types(L, into, arena);
    if (!into->rules.offered) luaL_error(L, PLACE ": no coding is left: write compress = false");
    read = into;
  } else if (!lua_isnil(L, -1)) {
    luaL_error(L, PLACE " must be true, false or a table such as { gzip = 6 }; got a %s",
               luaL_typename(L, -1));
  }
  lua_pop(L, 1);
  return read;
}

/* --- one response ----------------------------------------------------------------------------------------- */

/* response:set_compression(true | false | coding) */
int compress_set(lua_State *L) {
  struct exchange *x = token_check_kind(L, 1, TOKEN_RESPONSE)->x;
  session_phase(L, x, PHASE(upstream_response_filter) | PHASE(response_filter) | PHASE(answer_filter),
                "set_compression");
  if (lua_isboolean(L, 2)) {
    codings_of_exchange(x)->word = lua_toboolean(L, 2) ? WORD_YES : WORD_NO;
    return 0;
  }
  struct str name = {"", 0};
  if (lua_type(L, 2) == LUA_TSTRING) name.ptr = lua_tolstring(L, 2, &name.len);
  for (size_t i = 0; i < sizeof codings / sizeof *codings; i++) {
    if (!str_equal(name, str_of(codings[i].name))) continue;
    struct codings *c = codings_of_exchange(x);
    c->word = WORD_ONE;
    c->one = codings[i].coding;
    return 0;
  }
  return luaL_error(L, "set_compression: expected true, false, \"zstd\", \"br\" or \"gzip\"");
}

/* response:set_decoded(): true where the body hooks get text; false: its coding is unknown, or it is a part. -1 +1 */
int compress_set_decoded(lua_State *L) {
  struct exchange *x = token_check_kind(L, 1, TOKEN_RESPONSE)->x;
  session_phase(L, x, PHASE(upstream_response_filter) | PHASE(response_filter), "set_decoded");
  codings_of_exchange(x)->wants_text = true;
  lua_pushboolean(L, codings_give_text(x));
  return 1;
}
