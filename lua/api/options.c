// SPDX-License-Identifier: Apache-2.0
// options: one pass over the given table; each value is read by the reader of its kind, which checks it.
#include "lua/api/options.h"

#include <lauxlib.h>
#include <stdint.h>
#include <stdio.h>

#include "base/duration.h"
#include "base/nearest.h"
#include "base/size.h"
#include "base/str.h"
#include "http/lenient.h"
#include "lua/api/cache.h"
#include "lua/api/private_files.h"
#include "lua/vm/paths.h"
#include "lua/vm/text.h"
#include "lua/vm/push.h"
#include "lua/vm/vm.h"
#include "net/tls_identity.h"
#include "exchange/peer.h"

static bool read_text(lua_State *L, const struct option *option, void *to, struct arena *arena);
static bool read_file(lua_State *L, const struct option *option, void *to, struct arena *arena);
static bool read_pem(lua_State *L, const struct option *option, void *to, struct arena *arena);
static bool read_log(lua_State *L, const struct option *option, void *to, struct arena *arena);
static bool read_seconds(lua_State *L, const struct option *option, void *to, struct arena *arena);
static bool read_pool_seconds(lua_State *L, const struct option *option, void *to, struct arena *arena);
static bool read_count(lua_State *L, const struct option *option, void *to, struct arena *arena);
static bool read_positive(lua_State *L, const struct option *option, void *to, struct arena *arena);
static bool read_size(lua_State *L, const struct option *option, void *to, struct arena *arena);
static bool read_bytes(lua_State *L, const struct option *option, void *to, struct arena *arena);
static bool read_small(lua_State *L, const struct option *option, void *to, struct arena *arena);
static bool read_flag(lua_State *L, const struct option *option, void *to, struct arena *arena);
static bool read_unless(lua_State *L, const struct option *option, void *to, struct arena *arena);
static bool read_word(lua_State *L, const struct option *option, void *to, struct arena *arena);

static bool read_lenient(lua_State *L, const struct option *option, void *to, struct arena *arena);
static bool read_table(lua_State *L, const struct option *option, void *to, struct arena *arena);
static bool read_any(lua_State *L, const struct option *option, void *to, struct arena *arena);

static const struct {
  bool (*read)(lua_State *L, const struct option *option, void *to, struct arena *arena);
  const char *wants;
} kinds[] = {
    [OPTION_TEXT] = {read_text, "a string"},
    [OPTION_FILE] = {read_file, "the name of a file"},
    [OPTION_PEM] = {read_pem, "the name of a PEM file, or PEM text"},
    [OPTION_LOG] = {read_log, "the name of a file, \"stdout\", \"stderr\", \"syslog\" or false"},
    [OPTION_SECONDS] = {read_seconds, DURATION_WANTED},
    [OPTION_POOL_SECONDS] = {read_pool_seconds, DURATION_WANTED ", or 0 or false for none"},
    [OPTION_COUNT] = {read_count, "a whole number from 0 to 4294967295"},
    [OPTION_POSITIVE] = {read_positive, "a whole number from 1 to 4294967295"},
    [OPTION_SIZE] = {read_size, "a number of bytes greater than 0, such as 65536 or '64K'"},
    [OPTION_BYTES] = {read_bytes, "a number of bytes, 0 or more, such as 65536 or '64K'"},
    [OPTION_SMALL] = {read_small, "0, 1 or 2"},
    [OPTION_FLAG] = {read_flag, "true or false"},
    [OPTION_UNLESS] = {read_unless, "true or false"},
    [OPTION_WORD] = {read_word, "one of: "},
    [OPTION_LENIENT] = {read_lenient, "a table with true or false for any of: "},
    [OPTION_TABLE] = {read_table, "a table"},
    [OPTION_ANY] = {read_any, ""},
    [OPTION_CACHE] =
        {cache_read_option,
         "what perilune.cache gives, as in cache = perilune.cache(\"pages\", { size = \"64M\" })"},
};

const char *const option_families[] = {"any", "prefer_ipv4", "ipv4", "ipv6", NULL};

/* The first letters spare most calls of strcmp: the table of a peer is read for each attempt. */
static const struct option *find(const struct option_set *set, const char *name) {
  for (unsigned i = 0; i < set->count; i++)
    if (set->options[i].name[0] == name[0] && strcmp(set->options[i].name, name) == 0)
      return &set->options[i];
  return NULL;
}

/* What has no name, as in a list: where there is one option too few. -0 +1 */
static void push_nameless(lua_State *L) {
  const char *value = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
  lua_pushfstring(L,
                  value ? "the value '%s' has no name: write NAME = '%s'; valid are "
                        : "a value has no name: write NAME = VALUE; valid are ",
                  value, value);
}

static const char *hint_of(const struct option_set *set, const char *name) {
  for (const struct option_hint *hint = set->hints; hint && hint->name; hint++)
    if (strcmp(hint->name, name) == 0) return hint->says;
  return NULL;
}

/* Of a name that is no option. -0 +1 */
static void push_unknown_name(lua_State *L, const struct option_set *set, const char *name) {
  const char *hint = hint_of(set, name);
  struct nearest n = nearest_to(name);
  for (unsigned i = 0; i < set->count; i++) nearest_offer(&n, set->options[i].name);
  if (hint)
    lua_pushfstring(L, "unknown option '%s' (%s); valid are ", name, hint);
  else if (n.found)
    lua_pushfstring(L, "unknown option '%s' (did you mean %s?); valid are ", name, n.found);
  else
    lua_pushfstring(L, "unknown option '%s'; valid are ", name);
}

/* Pushes what is wrong with the key below the value on top. -0 +1 */
static void push_unknown(lua_State *L, const struct option_set *set) {
  luaL_Buffer text;
  lua_pushvalue(L, -2);
  luaL_buffinit(L, &text);
  if (lua_type(L, -1) == LUA_TSTRING) {
    push_unknown_name(L, set, lua_tostring(L, -1));
  } else {
    lua_pushvalue(L, -2);
    push_nameless(L);
    lua_remove(L, -2);
  }
  luaL_addvalue(&text);
  for (unsigned i = 0; i < set->count; i++) {
    if (i > 0) luaL_addstring(&text, ", ");
    luaL_addstring(&text, set->options[i].name);
  }
  luaL_pushresult(&text);
}

static const char *const lenient_names[] = {
#define X(id, name, allowed) name,
    LENIENT_TABLE(X)
#undef X
        NULL};

static int lenient_bit(const char *name) {
  for (int bit = 0; lenient_names[bit]; bit++)
    if (strcmp(lenient_names[bit], name) == 0) return bit;
  return -1;
}

/* Takes the entry that lua_next has pushed: { name = true }, { name = false }, or { "name" }. False: it is
 * none. -0 +0 */
static bool take_lenient(lua_State *L, unsigned *allowed) {
  bool is_listed = lua_type(L, -2) == LUA_TNUMBER && lua_type(L, -1) == LUA_TSTRING;
  bool is_named = lua_type(L, -2) == LUA_TSTRING && lua_isboolean(L, -1);
  if (!is_listed && !is_named) return false;
  int bit = lenient_bit(lua_tostring(L, is_listed ? -1 : -2));
  if (bit < 0) return false;
  if (is_listed || lua_toboolean(L, -1))
    *allowed |= 1u << bit;
  else
    *allowed &= ~(1u << bit);
  return true;
}

/* What of the table at the top does not fit: the name, where that is it. -0 +1 */
static void push_bad_lenient(lua_State *L) {
  unsigned unwanted = 0;
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    if (take_lenient(L, &unwanted)) {
      lua_pop(L, 1);
      continue;
    }
    int at = lua_type(L, -2) == LUA_TNUMBER ? -1 : -2;
    bool is_unknown = lua_type(L, at) == LUA_TSTRING && lenient_bit(lua_tostring(L, at)) < 0;
    lua_pushfstring(L, is_unknown ? "'%s'" : "a %s value",
                    is_unknown ? lua_tostring(L, at) : luaL_typename(L, -1));
    lua_replace(L, -3);
    lua_pop(L, 1);
    return;
  }
  lua_pushliteral(L, "table");
}

/* -0 +1 */
static void push_unfit(lua_State *L, const struct option *option) {
  luaL_Buffer text;
  const char *got = lua_type(L, -1) == LUA_TSTRING || lua_type(L, -1) == LUA_TNUMBER ? "'%s'" : "%s";
  lua_pushvalue(L, -1);
  const char *value = lua_isstring(L, -1) ? lua_tostring(L, -1) : luaL_typename(L, -1);
  lua_pushfstring(L, got, value);
  if (option->kind == OPTION_LENIENT && lua_istable(L, -2)) {
    lua_pop(L, 1);
    push_bad_lenient(L);
  }
  value = lua_tostring(L, -1);
  luaL_buffinit(L, &text);
  lua_pushfstring(L, "option '%s' must be %s", option->name, kinds[option->kind].wants);
  luaL_addvalue(&text);
  const char *const *words = option->kind == OPTION_LENIENT ? lenient_names : option->words;
  for (const char *const *word = words; word && *word; word++) {
    const char *quote = option->kind == OPTION_WORD && strchr(*word, ',') ? "'" : "";
    if (word != words) luaL_addstring(&text, ", ");
    luaL_addstring(&text, quote);
    luaL_addstring(&text, *word);
    luaL_addstring(&text, quote);
  }
  luaL_addstring(&text, "; got ");
  luaL_addstring(&text, value);
  luaL_pushresult(&text);
}

/* The option whose key is below the top of the stack. -0 +0 */
static const struct option *find_key(lua_State *L, const struct option_set *set) {
  return lua_type(L, -2) == LUA_TSTRING ? find(set, lua_tostring(L, -2)) : NULL;
}

bool options_take(lua_State *L, int index, const struct option_set *set, void *into, struct arena *arena) {
  lua_pushnil(L);
  while (lua_next(L, index)) {
    const struct option *option = find_key(L, set);
    if (!option || !kinds[option->kind].read(L, option, (char *)into + option->offset, arena)) return false;
    lua_pop(L, 1);
  }
  return true;
}

bool options_read(lua_State *L, int index, const struct option_set *set, void *into, struct arena *arena) {
  if (options_take(L, index, set, into, arena)) return true;
  const struct option *option = find_key(L, set);
  if (option)
    push_unfit(L, option);
  else
    push_unknown(L, set);
  return false;
}

int options_fault(lua_State *L, int index, const struct option_set *set, void *scratch) {
  struct arena arena = {0};
  luaL_checktype(L, index, LUA_TTABLE);
  bool is_fine = options_read(L, index, set, scratch, &arena);
  arena_free(&arena);
  return is_fine ? push_nil(L) : 1;
}

/* --- one reader per kind: the value is on top of the stack. -0 +0 --------------------------------------- */

static bool read_text(lua_State *L, const struct option *option, void *to, struct arena *arena) {
  (void)option, (void)arena;
  struct str *text = to;
  if (lua_type(L, -1) != LUA_TSTRING) return false;
  text->ptr = lua_tolstring(L, -1, &text->len);
  return text->len > 0;
}

static bool read_file(lua_State *L, const struct option *option, void *to, struct arena *arena) {
  struct str name;
  if (!read_text(L, option, &name, arena) || strlen(name.ptr) != name.len) return false;
  *(struct str *)to = paths_of(vm_of(L), name, arena);
  return true;
}

static bool read_pem(lua_State *L, const struct option *option, void *to, struct arena *arena) {
  struct str text;
  if (!read_text(L, option, &text, arena)) return false;
  if (!tls_is_text(text)) return read_file(L, option, to, arena);
  *(struct str *)to = text;
  return true;
}

static bool read_log(lua_State *L, const struct option *option, void *to, struct arena *arena) {
  struct str *name = to;
  *name = STR("");
  if (lua_isboolean(L, -1)) return !lua_toboolean(L, -1);
  if (!read_text(L, option, name, arena) || strlen(name->ptr) != name->len) return false;
  bool is_word = str_equal(*name, STR("stdout")) || str_equal(*name, STR("stderr")) ||
                 str_equal(*name, STR("syslog")) || str_starts_with(*name, STR("syslog:"));
  if (!is_word) *name = paths_of(vm_of(L), *name, arena);
  const char *place = private_file(L, arena_printf(arena, "%.*s%c", STR_ARG(*name), '\0').ptr);
  *name = arena_dup(arena, str_of(place));
  lua_pop(L, 1);
  return true;
}

/* A number in [least, most]. */
static bool read_number(lua_State *L, double least, double most, double *number) {
  if (lua_type(L, -1) != LUA_TNUMBER) return false;
  *number = lua_tonumber(L, -1);
  return *number >= least && *number <= most;
}

static bool read_whole(lua_State *L, double least, double most, uint64_t *number) {
  double value;
  if (!read_number(L, least, most, &value)) return false;
  *number = (uint64_t)value;
  return (double)*number == value;
}

/* Of bytes; also as a text, "64K". */
static bool read_amount(lua_State *L, double least, uint64_t *bytes) {
  const double most = 1e15;
  if (lua_type(L, -1) != LUA_TSTRING) return read_whole(L, least, most, bytes);
  return size_parse(text_of(L, -1), bytes) && (double)*bytes >= least && (double)*bytes <= most;
}

static bool read_seconds(lua_State *L, const struct option *option, void *to, struct arena *arena) {
  (void)option, (void)arena;
  return duration_at(L, -1, to);
}

static bool read_pool_seconds(lua_State *L, const struct option *option, void *to, struct arena *arena) {
  bool is_off = lua_isboolean(L, -1) && !lua_toboolean(L, -1);
  bool is_zero = lua_type(L, -1) == LUA_TNUMBER && lua_tonumber(L, -1) == 0;
  if (!is_off && !is_zero) return read_seconds(L, option, to, arena);
  *(unsigned *)to = PEER_NO_POOL;
  return true;
}

static bool read_count(lua_State *L, const struct option *option, void *to, struct arena *arena) {
  (void)option, (void)arena;
  uint64_t count;
  if (!read_whole(L, 0, UINT32_MAX, &count)) return false;
  *(unsigned *)to = (unsigned)count;
  return true;
}

static bool read_positive(lua_State *L, const struct option *option, void *to, struct arena *arena) {
  return read_count(L, option, to, arena) && *(unsigned *)to > 0;
}

static bool read_size(lua_State *L, const struct option *option, void *to, struct arena *arena) {
  (void)option, (void)arena;
  uint64_t bytes;
  if (!read_amount(L, 1, &bytes)) return false;
  *(size_t *)to = (size_t)bytes;
  return true;
}

static bool read_bytes(lua_State *L, const struct option *option, void *to, struct arena *arena) {
  (void)option, (void)arena;
  return read_amount(L, 0, to);
}

static bool read_small(lua_State *L, const struct option *option, void *to, struct arena *arena) {
  (void)option, (void)arena;
  uint64_t number;
  if (!read_whole(L, 0, 2, &number)) return false;
  *(unsigned char *)to = (unsigned char)number;
  return true;
}

static bool read_flag(lua_State *L, const struct option *option, void *to, struct arena *arena) {
  (void)option, (void)arena;
  *(bool *)to = lua_toboolean(L, -1);
  return lua_isboolean(L, -1);
}

static bool read_unless(lua_State *L, const struct option *option, void *to, struct arena *arena) {
  (void)option, (void)arena;
  *(bool *)to = !lua_toboolean(L, -1);
  return lua_isboolean(L, -1);
}

static bool read_word(lua_State *L, const struct option *option, void *to, struct arena *arena) {
  (void)arena;
  if (lua_type(L, -1) != LUA_TSTRING) return false;
  for (unsigned i = 0; option->words[i]; i++) {
    if (strcmp(option->words[i], lua_tostring(L, -1)) != 0) continue;
    *(unsigned *)to = i;
    return true;
  }
  return false;
}

/* What is not named stays as it is from the start. */
static bool read_lenient(lua_State *L, const struct option *option, void *to, struct arena *arena) {
  (void)option, (void)arena;
  unsigned allowed = LENIENT_DEFAULT;
  if (!lua_istable(L, -1)) return false;
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    if (!take_lenient(L, &allowed)) {
      lua_pop(L, 2);
      return false;
    }
    lua_pop(L, 1);
  }
  *(unsigned *)to = PEER_LENIENT | allowed;
  return true;
}

static bool read_table(lua_State *L, const struct option *option, void *to, struct arena *arena) {
  (void)option, (void)to, (void)arena;
  return lua_istable(L, -1);
}

static bool read_any(lua_State *L, const struct option *option, void *to, struct arena *arena) {
  (void)L, (void)option, (void)to, (void)arena;
  return true;
}
