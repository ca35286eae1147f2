// SPDX-License-Identifier: Apache-2.0
// fields: checks names and values from a policy, so that an error names the policy's line. The last check of all
// heads is in http/writer.c.
#include "lua/api/fields.h"

#include <lauxlib.h>
#include <math.h>

#include "http/host.h"
#include "lua/vm/text.h"

/* --- reading -------------------------------------------------------------------------------------------- */

/* The framing was taken from the fields when they were parsed; it is told from there. False: nothing pushed.
 * -0 +1 */
static bool push_framing(lua_State *L, struct str name, const struct body *body) {
  if (body->framing == FRAMING_LENGTH && field_id(name) == FIELD_CONTENT_LENGTH) {
    lua_pushnumber(L, (lua_Number)body->length);
    text_of(L, -1);
    return true;
  }
  if (body->framing != FRAMING_CHUNKED || field_id(name) != FIELD_TRANSFER_ENCODING) return false;
  lua_pushliteral(L, "chunked");
  return true;
}

bool fields_look(lua_State *L, const struct headers *headers, const struct body *body, struct str name,
                 struct str *value) {
  const struct field *field = headers_find(headers, name);
  if (field) {
    *value = field->value;
    return true;
  }
  if (!push_framing(L, name, body)) return false;
  *value = text_at(L, -1);
  return true;
}

int fields_get_all(lua_State *L, const struct headers *headers, const struct body *body) {
  struct str name = text_at(L, 2);
  unsigned at = 0;
  int count = 0;
  lua_newtable(L);
  for (const struct field *field; (field = headers_next(headers, name, &at));) {
    lua_pushlstring(L, field->value.ptr, field->value.len);
    lua_rawseti(L, -2, ++count);
  }
  if (count == 0 && push_framing(L, name, body)) lua_rawseti(L, -2, 1);
  return 1;
}

/* The next pair of the list that is upvalue 1, behind position upvalue 2. -2 +2 | -2 +0 */
static int step(lua_State *L) {
  int at = (int)lua_tointeger(L, lua_upvalueindex(2));
  lua_pushinteger(L, at + 2);
  lua_replace(L, lua_upvalueindex(2));
  lua_rawgeti(L, lua_upvalueindex(1), at + 1);
  lua_rawgeti(L, lua_upvalueindex(1), at + 2);
  return 2;
}

int fields_each(lua_State *L, const struct headers *headers) {
  lua_createtable(L, (int)headers->count * 2, 0);
  for (unsigned i = 0; i < headers->count; i++) {
    const struct field *field = &headers->items[i];
    lua_pushlstring(L, field->name.ptr, field->name.len);
    lua_rawseti(L, -2, (int)i * 2 + 1);
    lua_pushlstring(L, field->value.ptr, field->value.len);
    lua_rawseti(L, -2, (int)i * 2 + 2);
  }
  lua_pushinteger(L, 0);
  lua_pushcclosure(L, step, 2);
  return 1;
}

/* --- writing -------------------------------------------------------------------------------------------- */

#define BIT(id)           (1u << FIELD_##id)
#define OF_THE_BODY       (BIT(CONTENT_LENGTH) | BIT(TRANSFER_ENCODING) | BIT(TRAILER))
#define OF_THE_CONNECTION (BIT(CONNECTION) | BIT(KEEP_ALIVE) | BIT(PROXY_CONNECTION))
#define OF_THE_HOP        (BIT(UPGRADE) | BIT(HTTP2_SETTINGS) | BIT(TE))

/* Why a field is not the policy's to set. RFC 9110 section 7.6.1, RFC 9112 section 6. */
static const char *reserved(enum field_id id) {
  unsigned bit = 1u << id;
  if (bit & OF_THE_BODY) return "the proxy writes it from the body that it sends";
  if (bit & OF_THE_CONNECTION) return "the proxy manages its connections itself (see session:set_close)";
  return "the proxy negotiates it with each side itself";
}

static bool is_reserved(enum field_id id) {
  return (1u << id & (OF_THE_BODY | OF_THE_CONNECTION | OF_THE_HOP)) != 0;
}

static __attribute__((cold)) void refuse_name(lua_State *L, struct field field) {
  if (is_reserved(field.id))
    luaL_error(L, "the field %s cannot be set: %s", field.name.ptr, reserved(field.id));
  luaL_error(L, "'%s' is no valid field name", field.name.ptr);
}

/* A field of the name at `index`, without its value. -0 +0 */
static inline struct field check_name(lua_State *L, int index) {
  struct field field = {.name = text_at(L, index)};
  field.id = field_id(field.name);
  bool is_valid = field.id == FIELD_OTHER ? field_name_is_valid(field.name) : !is_reserved(field.id);
  if (!is_valid) refuse_name(L, field);
  return field;
}

static __attribute__((cold)) void refuse_value(lua_State *L, struct str name, struct str value, int index) {
  if (!value.ptr)
    luaL_error(L, "the value of field %s must be a string, a number or an array of them, got %s%s", name.ptr,
               luaL_typename(L, index), lua_isnoneornil(L, index) ? " (see remove_header)" : "");
  luaL_error(L, "the value of field %s has a control character in it (CR, LF, NUL, ...)", name.ptr);
}

/* A string or a finite number at `index`, whose type that is. */
static inline struct str check_typed(lua_State *L, struct str name, int index, int type) {
  if (type == LUA_TNUMBER && !isfinite(lua_tonumber(L, index)))
    luaL_error(L, "the value of field %s is a number that is not finite", name.ptr);
  struct str value = text_of_type(L, index, type);
  if (!value.ptr || !field_value_is_valid(value)) refuse_value(L, name, value, index);
  return str_trim(value);
}

static struct str check_value(lua_State *L, struct str name, int index) {
  return check_typed(L, name, index, lua_type(L, index));
}

/* Lua may collect its strings before the field is written. As it will be written, so that it is copied in one piece. */
static inline struct field keep(struct arena *arena, struct field field) {
  char *text = arena_alloc(arena, field.name.len + 2 + field.value.len), *at = text;
  at = mempcpy(mempcpy(at, field.name.ptr, field.name.len), ": ", 2);
  memcpy(at, field.value.ptr, field.value.len);
  field.name.ptr = text;
  field.value.ptr = at;
  field.is_set = true;
  return field;
}

static void append(struct headers *headers, struct field field, struct str value) {
  field.value = value;
  field = keep(headers->arena, field);
  headers_add_field(headers, field.name, field.value, field.id);
  headers->items[headers->count - 1].is_set = true;
}

/* How many values the array at `index` has; all are checked before the first is used. */
static unsigned check_values(lua_State *L, struct str name, int index) {
  unsigned count = (unsigned)lua_objlen(L, index);
  for (unsigned i = 1; i <= count; i++) {
    lua_rawgeti(L, index, (int)i);
    check_value(L, name, lua_gettop(L));
    lua_pop(L, 1);
  }
  return count;
}

void fields_append(lua_State *L, struct headers *headers, int name_index, int index) {
  struct field field = check_name(L, name_index);
  if (!lua_istable(L, index)) {
    append(headers, field, check_value(L, field.name, index));
    return;
  }
  unsigned count = check_values(L, field.name, index);
  for (unsigned i = 1; i <= count; i++) {
    lua_rawgeti(L, index, (int)i);
    append(headers, field, check_value(L, field.name, lua_gettop(L)));
    lua_pop(L, 1);
  }
}

/* core.check_field(name, value, is_request): raises what is wrong with a field as set_header takes it -3 +0 */
int fields_check(lua_State *L) {
  lua_settop(L, 3);
  struct field field = check_name(L, 1);
  bool is_host = lua_toboolean(L, 3) && field.id == FIELD_HOST;
  if (lua_istable(L, 2) && is_host) luaL_error(L, "a request has one Host");
  if (lua_istable(L, 2))
    check_values(L, field.name, 2);
  else if (!host_is_valid(check_value(L, field.name, 2)) && is_host)
    luaL_error(L, "the value of Host is no host, with or without a port");
  return 0;
}

struct field fields_read(lua_State *L) {
  struct field field = check_name(L, 2);
  int type = lua_type(L, 3);
  if (type != LUA_TTABLE) field.value = check_typed(L, field.name, 3, type);
  return field;
}

void fields_set(struct headers *headers, struct field field) {
  headers_set_field(headers, keep(headers->arena, field));
}

void fields_add(struct headers *headers, struct field field) { append(headers, field, field.value); }

void fields_set_all(lua_State *L, struct headers *headers) {
  struct field field = check_name(L, 2);
  check_values(L, field.name, 3);
  headers_remove(headers, field.name);
  fields_append(L, headers, 2, 3);
}

int fields_remove(lua_State *L, struct headers *headers) {
  lua_pushinteger(L, (lua_Integer)headers_remove(headers, text_at(L, 2)));
  return 1;
}
