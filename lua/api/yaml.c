// SPDX-License-Identifier: Apache-2.0
// yaml: core.yaml_decode: YAML as Lua values, by libyaml. Plain scalars are what the core schema of YAML 1.2 says:
// "yes" and "on" are texts. An alias is the same table again, not a copy; how much a walk over all of them would see
// is bounded, so a few lines cannot stand for more than there is memory. The parser belongs to a userdata: where Lua
// raises for want of memory, it is freed with that.
#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <yaml.h>

#include "http/grammar.h"
#include "lua/api/json.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/text.h"

enum { TEXT_MOST = 4 << 20, DEPTH_MOST = 100, NODES_MOST = 1000000, ANCHORS_MOST = 10000 };

struct reader {
  lua_State *L;
  yaml_parser_t parser;
  yaml_event_t event;
  bool has_parser, has_event;
  int anchors; /* stack index: name -> { value, nodes } */
  unsigned anchor_count;
  unsigned nodes; /* that a walk over all would see */
  size_t line, column;
  const char *why; /* static, or the parser's */
};

static bool read_value(struct reader *r, unsigned depth);

static bool fail(struct reader *r, const char *why) {
  r->line = r->event.start_mark.line + 1;
  r->column = r->event.start_mark.column + 1;
  r->why = why;
  return false;
}

static void drop_event(struct reader *r) {
  if (r->has_event) yaml_event_delete(&r->event);
  r->has_event = false;
}

static bool next(struct reader *r) {
  drop_event(r);
  r->has_event = yaml_parser_parse(&r->parser, &r->event) != 0;
  if (r->has_event) return true;
  r->line = r->parser.problem_mark.line + 1;
  r->column = r->parser.problem_mark.column + 1;
  r->why = r->parser.problem ? r->parser.problem : "it cannot be read";
  return false;
}

/* --- scalars ---------------------------------------------------------------------------------------------- */

static bool is_any(struct str text, const char *const *words) {
  for (; *words; words++)
    if (str_equal(text, str_of(*words))) return true;
  return false;
}

static bool is_decimal(const char *at, bool *is_float) {
  const char *start;
  *is_float = false;
  if (*at == '-' || *at == '+') at++;
  for (start = at; grammar_is_digit(*at);) at++;
  bool has_digits = at > start;
  if (*at == '.') {
    *is_float = true;
    for (start = ++at; grammar_is_digit(*at);) at++;
    has_digits |= at > start;
  }
  if (!has_digits) return false;
  if (*at == 'e' || *at == 'E') {
    *is_float = true;
    at++;
    if (*at == '-' || *at == '+') at++;
    for (start = at; grammar_is_digit(*at);) at++;
    if (at == start) return false;
  }
  return *at == '\0';
}

/* The core schema (YAML 1.2 section 10.3.2). */
static bool is_number(struct str text, double *number) {
  bool is_float;
  char *end = NULL;
  bool is_base = text.len > 2 && text.ptr[0] == '0' && (text.ptr[1] == 'x' || text.ptr[1] == 'o');
  if (strlen(text.ptr) != text.len) return false;
  if (is_base) {
    if (!grammar_is_digit(text.ptr[2]) && !(text.ptr[1] == 'x' && strchr("abcdefABCDEF", text.ptr[2])))
      return false;
    *number = (double)strtoull(text.ptr + 2, &end, text.ptr[1] == 'x' ? 16 : 8);
    return *end == '\0';
  }
  if (!is_decimal(text.ptr, &is_float)) return false;
  *number = strtod(text.ptr, NULL);
  return isfinite(*number);
}

/* -0 +1 */
static void push_plain(lua_State *L, struct str text) {
  static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
  static const char *const trues[] = {"true", "True", "TRUE", NULL};
  static const char *const falses[] = {"false", "False", "FALSE", NULL};
  static const char *const plus[] = {".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF", NULL};
  static const char *const minus[] = {"-.inf", "-.Inf", "-.INF", NULL};
  static const char *const nans[] = {".nan", ".NaN", ".NAN", NULL};
  double number;
  if (is_any(text, nulls))
    lua_pushlightuserdata(L, NULL);
  else if (is_any(text, trues) || is_any(text, falses))
    lua_pushboolean(L, is_any(text, trues));
  else if (is_any(text, plus) || is_any(text, minus))
    lua_pushnumber(L, is_any(text, plus) ? HUGE_VAL : -HUGE_VAL);
  else if (is_any(text, nans))
    lua_pushnumber(L, NAN);
  else if (is_number(text, &number))
    lua_pushnumber(L, number);
  else
    lua_pushlstring(L, text.ptr, text.len);
}

static bool has_tag(const yaml_char_t *tag, const char *name) {
  return tag && strcmp((const char *)tag, name) == 0;
}

/* -0 +1 */
static bool read_scalar(struct reader *r) {
  struct str text = {(const char *)r->event.data.scalar.value, r->event.data.scalar.length};
  const yaml_char_t *tag = r->event.data.scalar.tag;
  static const char *const known[] = {YAML_INT_TAG, YAML_FLOAT_TAG, YAML_BOOL_TAG, YAML_NULL_TAG, NULL};
  bool is_text = has_tag(tag, YAML_STR_TAG) || has_tag(tag, "!");
  if (tag && !is_text && !is_any(str_of((const char *)tag), known)) return fail(r, "a tag that is not known");
  if (is_text || (!tag && r->event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE)) {
    lua_pushlstring(r->L, text.ptr, text.len);
    return true;
  }
  push_plain(r->L, text);
  bool is_kind =
      !tag || (has_tag(tag, YAML_BOOL_TAG) && lua_isboolean(r->L, -1)) ||
      (has_tag(tag, YAML_NULL_TAG) && lua_islightuserdata(r->L, -1)) ||
      ((has_tag(tag, YAML_INT_TAG) || has_tag(tag, YAML_FLOAT_TAG)) && lua_type(r->L, -1) == LUA_TNUMBER);
  return is_kind || fail(r, "a value that is not of the kind its tag says");
}

/* --- anchors ---------------------------------------------------------------------------------------------- */

/* The value on top has the name from now on; `before`: how many nodes there were before it. -0 +0 */
static bool keep_anchor(struct reader *r, int name, unsigned before) {
  lua_State *L = r->L;
  if (r->anchor_count++ == ANCHORS_MOST) return fail(r, "too many anchors");
  lua_pushvalue(L, name);
  lua_createtable(L, 2, 0);
  lua_pushvalue(L, -3);
  lua_rawseti(L, -2, 1);
  lua_pushinteger(L, (lua_Integer)(r->nodes - before));
  lua_rawseti(L, -2, 2);
  lua_rawset(L, r->anchors);
  return true;
}

/* -0 +1 */
static bool read_alias(struct reader *r) {
  lua_State *L = r->L;
  lua_pushstring(L, (const char *)r->event.data.alias.anchor);
  lua_rawget(L, r->anchors);
  if (!lua_istable(L, -1)) return fail(r, "an alias of what is not there, or not complete");
  lua_rawgeti(L, -1, 2);
  r->nodes += (unsigned)lua_tointeger(L, -1);
  lua_pop(L, 1);
  lua_rawgeti(L, -1, 1);
  lua_remove(L, -2);
  return r->nodes <= NODES_MOST || fail(r, "its aliases stand for too much");
}

/* --- collections ------------------------------------------------------------------------------------------ */

/* -0 +1 */
static bool read_sequence(struct reader *r, unsigned depth) {
  lua_newtable(r->L);
  json_mark_array(r->L, -1);
  for (int i = 1;; i++) {
    if (!next(r)) return false;
    if (r->event.type == YAML_SEQUENCE_END_EVENT) return true;
    if (!read_value(r, depth)) return false;
    lua_rawseti(r->L, -2, i);
  }
}

/* What the table on top has, and the one below has not, goes there. -0 +0 */
static void merge_one(lua_State *L, int into) {
  int from = lua_gettop(L);
  lua_pushnil(L);
  while (lua_next(L, from)) {
    lua_pushvalue(L, -2);
    lua_rawget(L, into);
    bool is_there = !lua_isnil(L, -1);
    lua_pop(L, 1);
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    if (is_there)
      lua_pop(L, 2);
    else
      lua_rawset(L, into);
  }
}

/* "<<": the value on top, a mapping or a list of them, fills up the mapping at `into`. -1 +0 */
static bool merge(struct reader *r, int into) {
  lua_State *L = r->L;
  if (!lua_istable(L, -1)) return fail(r, "what << names is no mapping");
  int count = json_is_marked(L, -1) ? (int)lua_objlen(L, -1) : -1;
  if (count < 0) merge_one(L, into);
  for (int i = 1; i <= count; i++) {
    lua_rawgeti(L, -1, i);
    if (!lua_istable(L, -1)) return fail(r, "what << names is no mapping");
    merge_one(L, into);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return true;
}

static bool is_merge_key(const struct reader *r) {
  return r->event.type == YAML_SCALAR_EVENT && r->event.data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
         !r->event.data.scalar.tag && strcmp((const char *)r->event.data.scalar.value, "<<") == 0;
}

/* The key on top. -0 +0 */
static bool check_key(struct reader *r, int table) {
  lua_State *L = r->L;
  bool is_number = lua_type(L, -1) == LUA_TNUMBER && !isnan(lua_tonumber(L, -1));
  if (!is_number && !lua_isboolean(L, -1) && lua_type(L, -1) != LUA_TSTRING)
    return fail(r, "a key that is no text, number or boolean");
  lua_pushvalue(L, -1);
  lua_rawget(L, table);
  bool is_there = !lua_isnil(L, -1);
  lua_pop(L, 1);
  return !is_there || fail(r, "a key that is there twice");
}

/* A merged key may come before the mapping's own, which wins: so what is merged waits until the end. -0 +1 */
static bool read_mapping(struct reader *r, unsigned depth) {
  lua_State *L = r->L;
  lua_newtable(L);
  int table = lua_gettop(L);
  lua_pushnil(L); /* what is to be merged */
  while (next(r)) {
    if (r->event.type == YAML_MAPPING_END_EVENT) {
      bool merges = !lua_isnil(L, -1);
      if (!merges) lua_pop(L, 1);
      return !merges || merge(r, table);
    }
    bool is_merge = is_merge_key(r);
    if (is_merge && !lua_isnil(L, table + 1)) return fail(r, "a key that is there twice");
    if (!read_value(r, depth) || !check_key(r, table) || !next(r) || !read_value(r, depth)) return false;
    if (is_merge)
      lua_replace(L, table + 1);
    else
      lua_rawset(L, table);
    lua_settop(L, table + 1);
  }
  return false;
}

/* --- values ----------------------------------------------------------------------------------------------- */

static const yaml_char_t *anchor_of(const yaml_event_t *event) {
  switch (event->type) {
  case YAML_SCALAR_EVENT: return event->data.scalar.anchor;
  case YAML_SEQUENCE_START_EVENT: return event->data.sequence_start.anchor;
  case YAML_MAPPING_START_EVENT: return event->data.mapping_start.anchor;
  case YAML_NO_EVENT:
  case YAML_STREAM_START_EVENT:
  case YAML_STREAM_END_EVENT:
  case YAML_DOCUMENT_START_EVENT:
  case YAML_DOCUMENT_END_EVENT:
  case YAML_ALIAS_EVENT:
  case YAML_SEQUENCE_END_EVENT:
  case YAML_MAPPING_END_EVENT: break;
  }
  return NULL;
}

static bool read_collection(struct reader *r, unsigned depth) {
  bool is_sequence = r->event.type == YAML_SEQUENCE_START_EVENT;
  const yaml_char_t *tag = is_sequence ? r->event.data.sequence_start.tag : r->event.data.mapping_start.tag;
  if (tag && !has_tag(tag, YAML_SEQ_TAG) && !has_tag(tag, YAML_MAP_TAG))
    return fail(r, "a tag that is not known");
  if (depth == DEPTH_MOST) return fail(r, "more than 100 levels");
  return is_sequence ? read_sequence(r, depth + 1) : read_mapping(r, depth + 1);
}

/* Of the event that was read. -0 +1 */
static bool read_value(struct reader *r, unsigned depth) {
  lua_State *L = r->L;
  unsigned before = r->nodes++;
  if (r->nodes > NODES_MOST) return fail(r, "more than a million values");
  luaL_checkstack(L, 10, "yaml");
  if (r->event.type == YAML_ALIAS_EVENT) return read_alias(r);
  const yaml_char_t *anchor = anchor_of(&r->event);
  if (anchor) lua_pushstring(L, (const char *)anchor);
  int name = lua_gettop(L);
  bool fine = r->event.type == YAML_SCALAR_EVENT ? read_scalar(r) : read_collection(r, depth);
  if (!fine || !anchor) return fine;
  if (!keep_anchor(r, name, before)) return false;
  lua_remove(L, name);
  return true;
}

/* The one document. -0 +1 */
static bool read_document(struct reader *r) {
  if (!next(r) || !next(r)) return false; /* the stream's start, and the document's */
  if (r->event.type == YAML_STREAM_END_EVENT) {
    lua_pushlightuserdata(r->L, NULL);
    return true;
  }
  if (!next(r) || !read_value(r, 0) || !next(r) || !next(r)) return false;
  return r->event.type == YAML_STREAM_END_EVENT || fail(r, "a second document: only one can be read");
}

/* --- the call --------------------------------------------------------------------------------------------- */

static int collect(lua_State *L) {
  struct reader *r = lua_touserdata(L, 1);
  drop_event(r);
  if (r->has_parser) yaml_parser_delete(&r->parser);
  r->has_parser = false;
  return 0;
}

/* -0 +1 */
static struct reader *new_reader(lua_State *L) {
  struct reader *r = lua_newuserdata(L, sizeof *r);
  memset(r, 0, sizeof *r);
  r->L = L;
  if (luaL_newmetatable(L, "perilune.yaml_reader")) {
    lua_pushcfunction(L, collect);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  r->has_parser = yaml_parser_initialize(&r->parser) != 0;
  if (!r->has_parser) luaL_error(L, "yaml: no memory");
  lua_newtable(L);
  r->anchors = lua_gettop(L);
  return r;
}

/* core.yaml_decode(text): its value; or nil and where and why -1 +1 | -1 +2 */
static int decode(lua_State *L) {
  struct str text = text_at(L, 1);
  if (text.len > TEXT_MOST) return push_nil_why(L, "more than 4 MiB");
  struct reader *r = new_reader(L);
  int reader = lua_gettop(L) - 1;
  yaml_parser_set_input_string(&r->parser, (const unsigned char *)text.ptr, text.len);
  yaml_parser_set_encoding(&r->parser, YAML_UTF8_ENCODING);
  bool fine = read_document(r);
  if (!fine) {
    lua_pushnil(L);
    lua_pushfstring(L, "line %d, column %d: %s", (int)r->line, (int)r->column, r->why);
  }
  lua_pushcfunction(L, collect);
  lua_pushvalue(L, reader);
  lua_call(L, 1, 0);
  return fine ? 1 : 2;
}

static const luaL_Reg functions[] = {{"yaml_decode", decode}, {NULL, NULL}};

void open_yaml(lua_State *L) { luaL_register(L, NULL, functions); }
