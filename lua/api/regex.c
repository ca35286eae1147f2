// SPDX-License-Identifier: Apache-2.0
// regex: regular expressions of PCRE2, compiled to machine code if possible. No other file uses PCRE2. The hard problem
// is time: some patterns take extremely long on some texts. So a search stops at a limit of steps and memory, with a
// separate error. lua/perilune/regex.lua keeps compiled patterns.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/big_endian.h"
#include "base/str.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"

enum {
  MATCH_LIMIT = 100000,
  HEAP_LIMIT_KIB = 8192,
  STACK_START = 32768,
  STACK_MOST = 524288,
  DFA_ROOM = 1024
};

/* What all patterns of a vm share: one thread searches at a time. */
struct room {
  struct handle handle;
  pcre2_match_context *context; /* owned */
  pcre2_jit_stack *stack;       /* owned */
};

struct regex {
  struct handle handle;
  pcre2_code *code;       /* owned */
  pcre2_match_data *data; /* owned */
  uint32_t groups;
  bool is_dfa; /* the longest match counts, and no group is told */
};

/* --- compiling ------------------------------------------------------------------------------------------ */

/* nil and a message -0 +2 */
static int refuse(lua_State *L, int error) {
  char text[160];
  pcre2_get_error_message(error, (PCRE2_UCHAR *)text, sizeof text);
  return push_nil_why(L, text);
}

/* As in JavaScript: \u, [] and [^], and a group that took no part matches where it is referred to. */
enum { JAVASCRIPT = PCRE2_ALT_BSUX | PCRE2_ALLOW_EMPTY_CLASS | PCRE2_MATCH_UNSET_BACKREF };

/* -0 +0 */
static uint32_t check_flags(lua_State *L, bool *is_dfa) {
  uint32_t options = PCRE2_NEVER_BACKSLASH_C;
  for (const char *flag = lua_isnoneornil(L, 2) ? "" : luaL_checkstring(L, 2); *flag; flag++) {
    switch (*flag) {
    case 'i': options |= PCRE2_CASELESS; break;
    case 'm': options |= PCRE2_MULTILINE; break;
    case 's': options |= PCRE2_DOTALL; break;
    case 'x': options |= PCRE2_EXTENDED; break;
    case 'u': options |= PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF; break;
    case 'a': options |= PCRE2_ANCHORED; break;
    case 'D': options |= PCRE2_DUPNAMES; break;
    case 'J': options |= JAVASCRIPT; break;
    case 'd': *is_dfa = true; break;
    default: handle_raise(L, "regex: unknown flag '%c'; valid are i, m, s, x, u, a, d, D, J", *flag);
    }
  }
  return options;
}

/* core.regex(pattern, flags): compiled, or nil and why not -2 +1 | -2 +2 */
static int new_regex(lua_State *L) {
  struct str pattern = text_at(L, 1);
  bool is_dfa = false;
  uint32_t options = check_flags(L, &is_dfa);
  int error;
  PCRE2_SIZE at;
  struct regex *regex = handle_new(L, HANDLE_REGEX, sizeof *regex);
  regex->is_dfa = is_dfa;
  regex->code = pcre2_compile((PCRE2_SPTR)pattern.ptr, pattern.len, options, &error, &at, NULL);
  if (!regex->code) {
    refuse(L, error);
    lua_pushfstring(L, "%s at character %d", lua_tostring(L, -1), (int)at + 1);
    lua_remove(L, -2);
    return 2;
  }
  pcre2_jit_compile(regex->code, PCRE2_JIT_COMPLETE); /* where it fails, the pattern is interpreted */
  if (!is_dfa) pcre2_pattern_info(regex->code, PCRE2_INFO_CAPTURECOUNT, &regex->groups);
  regex->data = pcre2_match_data_create_from_pattern(regex->code, NULL);
  return 1;
}

/* --- searching ------------------------------------------------------------------------------------------ */

struct search {
  struct regex *regex;
  struct str subject;
  PCRE2_SIZE *ends; /* from, to of the whole and of each group */
};

static int run(const struct regex *regex, struct str subject, size_t from, pcre2_match_context *context) {
  int workspace[DFA_ROOM];
  if (!regex->is_dfa)
    return pcre2_match(regex->code, (PCRE2_SPTR)subject.ptr, subject.len, from, 0, regex->data, context);
  int count = pcre2_dfa_match(regex->code, (PCRE2_SPTR)subject.ptr, subject.len, from, 0, regex->data,
                              context, workspace, DFA_ROOM);
  return count == 0 ? 1 : count; /* 0: there are shorter matches, too, for which there was no room */
}

/* Arguments: regex, subject, init. 1: found; 0: not; negative: an error. */
static int search(lua_State *L, struct search *s) {
  const struct room *room = vm_of(L)->regex_room;
  s->regex = handle_check(L, 1, HANDLE_REGEX);
  s->subject = text_at(L, 2);
  lua_Number init = luaL_optnumber(L, 3, 1);
  if (!(init >= 1 && init <= (lua_Number)s->subject.len + 1)) return 0;
  int result = run(s->regex, s->subject, (size_t)init - 1, room->context);
  if (result == PCRE2_ERROR_NOMATCH) return 0;
  if (result < 0) return result;
  s->ends = pcre2_get_ovector_pointer(s->regex->data);
  return 1;
}

/* Group `group`; 0: the whole. False: it took no part. -0 +1 | -0 +0 */
static bool push_group(lua_State *L, const struct search *s, uint32_t group) {
  PCRE2_SIZE from = s->ends[2 * group], to = s->ends[2 * group + 1];
  if (from == PCRE2_UNSET || to < from) return false;
  lua_pushlstring(L, s->subject.ptr + from, to - from);
  return true;
}

/* The table of names: entries of two bytes of number, then the name, terminated. */
struct names {
  uint32_t count, size;
  PCRE2_SPTR entry;
};

static struct names names_of(const struct regex *regex) {
  struct names names = {0};
  if (regex->groups) pcre2_pattern_info(regex->code, PCRE2_INFO_NAMECOUNT, &names.count);
  if (names.count == 0) return names;
  pcre2_pattern_info(regex->code, PCRE2_INFO_NAMEENTRYSIZE, &names.size);
  pcre2_pattern_info(regex->code, PCRE2_INFO_NAMETABLE, &names.entry);
  return names;
}

/* -0 +0 */
static void set_names(lua_State *L, const struct search *s) {
  for (struct names n = names_of(s->regex); n.count-- > 0; n.entry += n.size)
    if (push_group(L, s, big_endian_16(n.entry))) lua_setfield(L, -2, (const char *)n.entry + 2);
}

/* The same where a group that took no part is false, unless another one of its name did (flag D). -0 +0 */
static void set_all_names(lua_State *L, const struct search *s) {
  for (struct names n = names_of(s->regex), all = n; n.count-- > 0; n.entry += n.size) {
    const char *name = (const char *)n.entry + 2;
    bool is_first = n.entry == all.entry || strcmp(name, (const char *)n.entry + 2 - n.size) != 0;
    bool took_part = push_group(L, s, big_endian_16(n.entry));
    if (!took_part && !is_first) continue;
    if (!took_part) lua_pushboolean(L, 0);
    lua_setfield(L, -2, name);
  }
}

/* -0 +2 */
static int push_ends(lua_State *L, const struct search *s) {
  lua_pushnumber(L, (lua_Number)s->ends[0] + 1);
  lua_pushnumber(L, (lua_Number)s->ends[1]);
  return 2;
}

/* -0 +1 | -0 +2 */
static int none(lua_State *L, int result) {
  if (result < 0) return refuse(L, result);
  lua_pushnil(L);
  return 1;
}

/* regex:match(subject [, init]): { [0] = whole, group, ..., name = group } and the whole's first and last
 * position; nil; nil and a message -3 +3 | +1 | +2 */
static int match(lua_State *L) {
  struct search s;
  int result = search(L, &s);
  if (result <= 0) return none(L, result);
  lua_createtable(L, (int)s.regex->groups, 1);
  for (uint32_t group = 0; group <= s.regex->groups; group++)
    if (push_group(L, &s, group)) lua_rawseti(L, -2, (int)group);
  set_names(L, &s);
  return 1 + push_ends(L, &s);
}

/* regex:captures(subject [, init [, into]]): as match, but with false for each group that took no part, by number and
 * by name; into a table that is there already, or a new one -4 +3 | +1 | +2 */
static int captures(lua_State *L) {
  struct search s;
  bool is_new = !lua_istable(L, 4);
  int result = search(L, &s);
  if (result <= 0) return none(L, result);
  lua_settop(L, 4);
  if (is_new) lua_createtable(L, (int)s.regex->groups, 1);
  for (uint32_t group = 0; group <= s.regex->groups; group++) {
    if (!push_group(L, &s, group)) lua_pushboolean(L, 0);
    lua_rawseti(L, -2, (int)group);
  }
  set_all_names(L, &s);
  return 1 + push_ends(L, &s);
}

/* regex:find(subject [, init [, group]]): first and last position of the whole, or of a group; nil; nil and a message
 * -4 +2 | +1 */
static int find(lua_State *L) {
  struct search s;
  lua_Number group = luaL_optnumber(L, 4, 0);
  int result = search(L, &s);
  if (result <= 0) return none(L, result);
  if (!(group >= 0 && group <= s.regex->groups)) return none(L, 0);
  s.ends += 2 * (uint32_t)group;
  if (s.ends[0] == PCRE2_UNSET || s.ends[1] < s.ends[0]) return none(L, 0);
  return push_ends(L, &s);
}

/* regex:groups(): how many there are, and the names of those that have one, by their numbers -1 +2 */
static int groups(lua_State *L) {
  const struct regex *regex = handle_check(L, 1, HANDLE_REGEX);
  lua_pushinteger(L, (lua_Integer)regex->groups);
  lua_newtable(L);
  for (struct names n = names_of(regex); n.count-- > 0; n.entry += n.size) {
    lua_pushstring(L, (const char *)n.entry + 2);
    lua_rawseti(L, -2, big_endian_16(n.entry));
  }
  return 2;
}

/* regex:test(subject [, init]): true or false; nil and a message -3 +1 | +2 */
static int test(lua_State *L) {
  struct search s;
  int result = search(L, &s);
  if (result < 0) return refuse(L, result);
  lua_pushboolean(L, result);
  return 1;
}

/* --- the end -------------------------------------------------------------------------------------------- */

static void end(void *ended) {
  struct regex *regex = ended;
  pcre2_match_data_free(regex->data);
  pcre2_code_free(regex->code);
  regex->data = NULL;
  regex->code = NULL;
}

static void end_room(void *ended) {
  struct room *room = ended;
  pcre2_match_context_free(room->context);
  pcre2_jit_stack_free(room->stack);
  room->context = NULL;
  room->stack = NULL;
}

static const luaL_Reg methods[] = {{"match", match},   {"find", find},         {"test", test},
                                   {"groups", groups}, {"captures", captures}, {NULL, NULL}};
static const luaL_Reg no_methods[] = {{NULL, NULL}};
static const luaL_Reg functions[] = {{"regex", new_regex}, {NULL, NULL}};

/* -0 +0 */
static void make_room(lua_State *L) {
  struct room *room = handle_new(L, HANDLE_REGEX_ROOM, sizeof *room);
  room->context = pcre2_match_context_create(NULL);
  room->stack = pcre2_jit_stack_create(STACK_START, STACK_MOST, NULL);
  pcre2_set_match_limit(room->context, MATCH_LIMIT);
  pcre2_set_heap_limit(room->context, HEAP_LIMIT_KIB);
  pcre2_jit_stack_assign(room->context, NULL, room->stack);
  vm_of(L)->regex_room = room;
  luaL_ref(L, LUA_REGISTRYINDEX); /* as long as the vm */
}

void open_regex(lua_State *L) {
  handle_define(L, HANDLE_REGEX_ROOM, "perilune.regex_room", no_methods, NULL);
  handle_set_end(L, HANDLE_REGEX_ROOM, end_room);
  handle_define(L, HANDLE_REGEX, "perilune.regex", methods, NULL);
  handle_set_end(L, HANDLE_REGEX, end);
  make_room(L);
  luaL_register(L, NULL, functions);
}
