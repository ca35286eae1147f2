// SPDX-License-Identifier: Apache-2.0
// message: the methods of requests, responses and trailers; for reading the client's request, also of the session.
// The kind of message says when it may be changed: the client's request until a peer is asked; the peer's request,
// the response and its trailers in their filters.
#include <lauxlib.h>
#include <lua.h>

#include "exchange/access_log.h"
#include "exchange/exchange.h"
#include "http/framing.h"
#include "http/host.h"
#include "lua/api/compress.h"
#include "lua/api/fields.h"
#include "lua/api/session.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/script.h"
#include "lua/vm/text.h"
#include "lua/vm/token.h"

static const unsigned phases[] = {
    [TOKEN_SESSION] = 0,
    [TOKEN_REQUEST] = PHASE(early_request_filter) | PHASE(request_filter) | PHASE(proxy_upstream_filter) |
                      PHASE(upstream_peer),
    [TOKEN_UPSTREAM_REQUEST] = PHASE(upstream_request_filter),
    [TOKEN_RESPONSE] = PHASE(upstream_response_filter) | PHASE(response_cache_filter) |
                       PHASE(response_filter) | PHASE(answer_filter),
    [TOKEN_TRAILERS] = PHASE(response_trailer_filter),
};

/* --- argument 1. -0 +0 ---------------------------------------------------------------------------------- */

static struct request *request_of(lua_State *L, struct token token) {
  struct exchange *x = token.script->x;
  if (token.kind == TOKEN_SESSION || token.kind == TOKEN_REQUEST) return &x->request;
  if (token.kind != TOKEN_UPSTREAM_REQUEST) token_refuse(L, 1, "request");
  return &x->now.request;
}

/* For calls that only read. */
static const struct request *check_request(lua_State *L) { return request_of(L, token_check(L, 1)); }

static struct response *check_response(lua_State *L) {
  return &token_check_kind(L, 1, TOKEN_RESPONSE)->x->response;
}

/* What the array that is argument 3 adds to the arena under a name. -0 +0 */
static size_t array_bytes(lua_State *L, struct str name) {
  size_t bytes = 0;
  for (int i = (int)lua_objlen(L, 3); i > 0; i--) {
    lua_rawgeti(L, 3, i);
    bytes += sizeof(struct field) + name.len + lua_objlen(L, -1);
    lua_pop(L, 1);
  }
  return bytes;
}

/* For calls that change it. */
static struct token change(lua_State *L, const char *call) {
  struct token token = token_check(L, 1);
  if (token.kind == TOKEN_SESSION) token_refuse(L, 1, "request");
  session_phase(L, token.script->x, phases[token.kind], call);
  return token;
}

static struct headers *fields_of(struct token token, const struct body **body) {
  static const struct body none;
  struct exchange *x = token.script->x;
  switch (token.kind) {
  case TOKEN_SESSION:
  case TOKEN_REQUEST: *body = &x->request.body; return &x->request.headers;
  case TOKEN_UPSTREAM_REQUEST: *body = &x->now.request.body; return &x->now.request.headers;
  case TOKEN_RESPONSE: *body = &x->response.body; return &x->response.headers;
  case TOKEN_TRAILERS: break;
  }
  *body = &none;
  return token.script->trailers;
}

/* Not every field may come behind a body (RFC 9110 section 6.5.1). */
static void check_trailer(lua_State *L, const char *call) {
  struct field field = {.name = {NULL, 0}};
  field.name = text_at(L, 2);
  field.id = field_id(field.name);
  if (!framing_trailer_is_allowed(&field, NULL))
    luaL_error(L, "%s: the field %s may not stand in trailers", call, field.name.ptr);
}

/* --- fields of all -------------------------------------------------------------------------------------- */

const struct headers *message_fields(lua_State *L, const struct body **body) {
  return fields_of(token_check(L, 1), body);
}

static struct headers *change_fields(lua_State *L, struct token token, const char *call) {
  const struct body *body;
  if (token.kind == TOKEN_TRAILERS) check_trailer(L, call);
  return fields_of(token, &body);
}

static __attribute__((cold)) void refuse_host(lua_State *L, const char *call, const char *why) {
  luaL_error(L, "%s: %s (RFC 9112 section 3.2)", call, why);
}

/* A request has one Host, and it names a host: what set_header or add_header would make of it. `field` is a Host, its
 * value in it or the array at 3. -0 +0 */
static void check_host(lua_State *L, const char *call, const struct headers *headers, struct field field,
                       bool adds) {
  size_t count = field.value.ptr ? 1 : lua_objlen(L, 3);
  if (count != 1 || (adds && headers_find_id(headers, FIELD_HOST)))
    refuse_host(L, call, "a request has one Host: give set_header a single value");
  bool is_array = !field.value.ptr;
  if (is_array) lua_rawgeti(L, 3, 1);
  struct str host = is_array ? str_trim(text_at(L, -1)) : field.value;
  if (!host_is_valid(host)) refuse_host(L, call, "the value of Host is no host, with or without a port");
  if (is_array) lua_pop(L, 1);
}

/* What set_header and add_header are told, accounted for: its value is in `field`, or an array at argument 3 where
 * that has none. -0 +0 */
static struct headers *take_field(lua_State *L, const char *call, struct field *field, bool adds) {
  struct token token = change(L, call);
  struct headers *headers = change_fields(L, token, call);
  *field = fields_read(L);
  bool is_request = token.kind == TOKEN_REQUEST || token.kind == TOKEN_UPSTREAM_REQUEST;
  if (field->id == FIELD_HOST && is_request) check_host(L, call, headers, *field, adds);
  size_t bytes =
      field->value.ptr ? sizeof *field + field->name.len + field->value.len : array_bytes(L, field->name);
  script_lend(L, token.script, bytes);
  return headers;
}

/* Upgrade and Connection, which are of this hop and no longer among the fields: what is passed on of an Upgrade, and
 * whether the connection ends. Empty: they say nothing. */
static struct str hop_field(struct token token, struct str name) {
  const struct exchange *x = token.script->x;
  enum field_id id = field_id(name);
  bool is_response = token.kind == TOKEN_RESPONSE, is_request = !is_response && token.kind != TOKEN_TRAILERS;
  struct str none = {NULL, 0}, upgrade = none;
  if (id != FIELD_UPGRADE && id != FIELD_CONNECTION) return none;
  if (is_response) upgrade = x->response.upgrade;
  if (is_request)
    upgrade = token.kind == TOKEN_UPSTREAM_REQUEST ? x->now.request.upgrade : x->request.upgrade;
  if (id == FIELD_UPGRADE) return upgrade;
  if (upgrade.len) return STR("upgrade");
  bool closes =
      is_request && token.kind != TOKEN_UPSTREAM_REQUEST && x->request.minor && !x->request.keep_alive;
  return closes ? STR("close") : none;
}

/* -2 +1 */
static int get_header(lua_State *L) {
  const struct body *body;
  struct token token = token_check(L, 1);
  const struct headers *headers = fields_of(token, &body);
  struct str value, name = text_at(L, 2);
  if (fields_look(L, headers, body, name, &value)) return push_text(L, value);
  return push_text_or_nil(L, hop_field(token, name));
}
/* -2 +1 */
static int get_headers(lua_State *L) {
  const struct body *body;
  const struct headers *headers = message_fields(L, &body);
  struct str hop = hop_field(token_check(L, 1), text_at(L, 2));
  if (!hop.len) return fields_get_all(L, headers, body);
  lua_createtable(L, 1, 0);
  push_text(L, hop);
  lua_rawseti(L, -2, 1);
  return 1;
}
/* -1 +1 */
static int headers(lua_State *L) {
  const struct body *body;
  return fields_each(L, message_fields(L, &body));
}
/* A single value takes the place of the first field of that name; an array goes to the end. -3 +0 */
static int set_header(lua_State *L) {
  struct field field;
  struct headers *headers = take_field(L, "set_header", &field, false);
  if (field.value.ptr)
    fields_set(headers, field);
  else
    fields_set_all(L, headers);
  return 0;
}

/* -3 +0 */
static int add_header(lua_State *L) {
  struct field field;
  struct headers *headers = take_field(L, "add_header", &field, true);
  if (field.value.ptr)
    fields_add(headers, field);
  else
    fields_append(L, headers, 2, 3);
  return 0;
}

/* -2 +1 */
static int remove_header(lua_State *L) {
  struct token token = change(L, "remove_header");
  return fields_remove(L, change_fields(L, token, "remove_header"));
}

/* --- a request ------------------------------------------------------------------------------------------ */

/* -1 +1 */
static int method(lua_State *L) {
  const struct request *request = check_request(L);
  lua_pushlstring(L, request->method_name.ptr, request->method_name.len);
  return 1;
}

/* -1 +1 */
static int target(lua_State *L) {
  const struct request *request = check_request(L);
  lua_pushlstring(L, request->target.ptr, request->target.len);
  return 1;
}

/* -1 +1 */
static int path(lua_State *L) {
  struct str whole = check_request(L)->target;
  lua_pushlstring(L, whole.ptr, str_find(whole, '?'));
  return 1;
}

/* -1 +1 */
static int version(lua_State *L) {
  const struct request *request = check_request(L);
  lua_pushnumber(L, request->is_http2 ? 2.0 : request->minor ? 1.1 : 1.0);
  return 1;
}

/* Origin-form, visible ASCII: what cannot break a request line (RFC 9112 section 3.2.1). */
static bool target_is_valid(struct str text) {
  for (size_t i = 0; i < text.len; i++)
    if (text.ptr[i] <= ' ' || text.ptr[i] >= 0x7f || text.ptr[i] == '#') return false;
  return text.len > 0 && text.ptr[0] == '/';
}

/* -2 +0 */
static int set_target(lua_State *L) {
  struct token token = change(L, "set_target");
  struct request *request = request_of(L, token);
  struct str text = text_at(L, 2);
  if (!target_is_valid(text))
    return luaL_error(
        L,
        "set_target: a target begins with '/' and has no space, '#', control or non-ASCII character in it");
  script_lend(L, token.script, text.len);
  if (request == &token.script->x->request) access_log_keep_asked(token.script->x);
  request->target = arena_dup(request->headers.arena, text);
  return 0;
}

/* What a request may not become, or begin as: the end of its response depends on it (RFC 9112 section 6.3), or what
 * follows the head. */
static bool is_framing_method(enum method method) {
  return method == METHOD_HEAD || method == METHOD_CONNECT || method == METHOD_TRACE;
}

/* request:set_method(method), and of a session the same for its client's request. All attempts send it. -2 +0 */
static int set_method(lua_State *L) {
  struct token token = token_check(L, 1);
  struct exchange *x = token.script->x;
  struct request *request = &x->request;
  if (token.kind != TOKEN_SESSION && token.kind != TOKEN_REQUEST) token_refuse(L, 1, "session");
  session_phase(L, x, phases[TOKEN_REQUEST], "set_method");
  struct str name = text_at(L, 2);
  if (!field_name_is_valid(name))
    return luaL_error(L, "set_method: '%s' is no method: a method is one word, as GET", name.ptr);
  if (is_framing_method(request->method) || is_framing_method(method_of(name))) {
    push_text(L, request->method_name);
    return luaL_error(
        L, "set_method: a %s cannot become a %s: neither HEAD nor CONNECT nor TRACE can be changed",
        lua_tostring(L, -1), name.ptr);
  }
  script_lend(L, token.script, name.len);
  access_log_keep_asked(x);
  request->method_name = arena_dup(request->headers.arena, name);
  request->method = method_of(name);
  return 0;
}

/* --- a response ----------------------------------------------------------------------------------------- */

/* -1 +1 */
static int status(lua_State *L) {
  lua_pushinteger(L, check_response(L)->status);
  return 1;
}

/* -1 +1 */
static int reason(lua_State *L) {
  const struct response *response = check_response(L);
  lua_pushlstring(L, response->reason.len ? response->reason.ptr : "", response->reason.len);
  return 1;
}

/* Whether a response has a body, or begins a tunnel, follows from its status, so a change may not touch that
 * (RFC 9112 section 6.3). */
static bool may_become(const struct exchange *x, lua_Integer to) {
  unsigned from = x->response.status;
  bool has_body = from >= 200 && from != 204 && from != 304;
  if (x->request.method == METHOD_CONNECT && (from < 300) != (to < 300)) return false;
  return has_body && to >= 200 && to <= 599 && to != 204 && to != 304;
}

/* response:set_status(status [, reason]) */
static int set_status(lua_State *L) {
  struct exchange *x = token_check_kind(L, 1, TOKEN_RESPONSE)->x;
  struct response *response = &x->response;
  lua_Integer to = luaL_checkinteger(L, 2);
  struct str text = {NULL, 0};
  session_phase(L, x, phases[TOKEN_RESPONSE] & ~PHASE(answer_filter), "set_status");
  if (!lua_isnoneornil(L, 3)) text = text_at(L, 3);
  if (!may_become(x, to))
    return luaL_error(L, "set_status: a response with status %d cannot become one with status %d",
                      response->status, (int)to);
  if (!field_value_is_valid(text))
    return luaL_error(L, "set_status: the reason has a control character in it");
  response->status = (unsigned short)to;
  response->reason = text.len ? arena_dup(response->headers.arena, text) : status_reason((unsigned)to);
  return 0;
}

static const luaL_Reg methods[] = {
    {"get_header", get_header},
    {"get_headers", get_headers},
    {"headers", headers},
    {"set_header", set_header},
    {"add_header", add_header},
    {"remove_header", remove_header},
    {"method", method},
    {"target", target},
    {"path", path},
    {"set_method", set_method},
    {"version", version},
    {"set_target", set_target},
    {"status", status},
    {"reason", reason},
    {"set_status", set_status},
    {"set_compression", compress_set},
    {"set_decoded", compress_set_decoded},
    {NULL, NULL},
};

static const luaL_Reg functions[] = {{"check_field", fields_check}, {NULL, NULL}};

void open_message(lua_State *L) {
  token_add_methods(L, methods);
  luaL_register(L, NULL, functions);
}
