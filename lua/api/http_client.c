// SPDX-License-Identifier: Apache-2.0
// http_client: reads HTTP/1.1 responses from a policy's socket, with the parser of the proxy, so as strictly as
// responses of peers. lua/perilune/http.lua is the interface for policies.
#include <lauxlib.h>
#include <lua.h>

#include "http/framing.h"
#include "http/host.h"
#include "http/lenient.h"
#include "http/parser.h"
#include "lua/api/socket.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/task.h"
#include "lua/vm/vm.h"

static struct parser_limits limits_of(const struct socket *s) {
  return (struct parser_limits){
      .head_bytes = 65536, .target_bytes = 8192, .fields = 200, .lenient = s->response.lenient};
}

/* --- a head --------------------------------------------------------------------------------------------- */

static enum enough read_head(struct socket *s) {
  size_t length = 0;
  enum error error = ERROR_NONE;
  struct parser_limits limits = limits_of(s);
  if (!buf_len(&s->in)) return ENOUGH_NOT;
  switch (head_scan_response(&s->response.scan, buf_ptr(&s->in), buf_len(&s->in), &limits, &length, &error)) {
  case HEAD_MORE: return ENOUGH_NOT;
  case HEAD_BAD: return ENOUGH_BAD;
  case HEAD_WHOLE: break;
  }
  s->piece = (struct str){buf_ptr(&s->in), length};
  s->used = length;
  return ENOUGH_WHOLE;
}

/* core.http_head(socket, method, lenient) -3 +0 (yields) */
static int head_start(lua_State *L) {
  struct socket *s = socket_check(L);
  if (s) s->response.scan = (struct head_scan){0};
  if (s) s->response.lenient = (unsigned)luaL_optnumber(L, 3, LENIENT_DEFAULT);
  if (s) s->outstanding = "its response was not read to the end";
  return socket_read(L, read_head, "http");
}

/* -0 +1 */
static void push_response(lua_State *L, const struct response *response) {
  lua_createtable(L, 0, 6);
  lua_pushinteger(L, response->status);
  lua_setfield(L, -2, "status");
  set_text(L, "reason", response->reason);
  lua_pushboolean(L, response->keep_alive && response->body.framing != FRAMING_CLOSE);
  lua_setfield(L, -2, "keep_alive");
  push_fields(L, &response->headers);
  lua_setfield(L, -2, "fields");
}

static void begin_body(struct socket *s, const struct response *response) {
  decoder_begin(&s->response.decoder, response->body);
  s->response.decoder.chunked.takes_padding = s->response.lenient & LENIENT_CHUNK_PADDING;
}

/* { status, reason, fields, keep_alive }; or nil and a sentence -3 +1 | -3 +2 */
static int head_result(lua_State *L) {
  struct socket *s = socket_check(L);
  struct response response = {0};
  const char *why = "malformed response";
  if (!s || s->reading.task || s->reading.outcome != OUTCOME_OK)
    return socket_push_failure(L, s, s ? s->reading.outcome : OUTCOME_CLOSED);
  struct str method = {luaL_checkstring(L, 2), lua_objlen(L, 2)};
  struct parser_limits limits = limits_of(s);
  arena_free(&s->response.arena);
  const struct head head = {arena_dup(&s->response.arena, s->piece), s->response.scan.line};
  buf_consume(&s->in, s->used);
  if (parser_response(&head, &s->response.arena, &limits, method_of(method), &response, &why) != ERROR_NONE)
    return push_nil_why(L, why);
  begin_body(s, &response);
  push_response(L, &response);
  return 1;
}

/* --- a body --------------------------------------------------------------------------------------------- */

static enum enough read_piece(struct socket *s) {
  struct decoded piece;
  char *bytes = buf_ptr(&s->in);
  if (!decoder_take(&s->response.decoder, bytes, buf_len(&s->in), &piece)) return ENOUGH_BAD;
  s->piece = (struct str){bytes, piece.payload};
  s->used = piece.used;
  if (piece.payload || s->response.decoder.ended) return ENOUGH_WHOLE;
  buf_consume(&s->in, s->used);
  s->used = 0;
  return ENOUGH_NOT;
}

/* What has arrived of the body; with decoder.ended and no piece: nothing follows. */
static enum enough read_body(struct socket *s) {
  if (s->response.decoder.ended) return ENOUGH_WHOLE;
  if (buf_len(&s->in)) return read_piece(s);
  return s->eof && decoder_source_ended(&s->response.decoder) ? ENOUGH_WHOLE : ENOUGH_NOT;
}

/* core.http_body(socket) -1 +0 (yields) */
static int body_start(lua_State *L) { return socket_read(L, read_body, "http"); }

/* The next piece and whether it is the last; or nil and a sentence -1 +2 */
static int body_result(lua_State *L) {
  struct socket *s = socket_check(L);
  if (!s || s->reading.task || s->reading.outcome != OUTCOME_OK)
    return socket_push_failure(L, s, s ? s->reading.outcome : OUTCOME_CLOSED);
  push_text(L, s->piece);
  lua_pushboolean(L, s->response.decoder.ended);
  if (s->response.decoder.ended) s->outstanding = NULL;
  buf_consume(&s->in, s->used);
  s->used = 0;
  return 2;
}

/* --- what is sent --------------------------------------------------------------------------------------- */

/* core.http_check_field(name, value): what is wrong with it; nil: nothing -2 +1 */
static int check_field(lua_State *L) {
  struct str name = {luaL_checkstring(L, 1), lua_objlen(L, 1)};
  struct str value = {luaL_checkstring(L, 2), lua_objlen(L, 2)};
  if (!field_name_is_valid(name)) {
    lua_pushfstring(L, "'%s' is no valid field name", name.ptr);
  } else if (!field_value_is_valid(value)) {
    lua_pushfstring(L, "the value of field %s has a control character in it (CR, LF, NUL, ...)", name.ptr);
  } else if (framing_is_hop_field(field_id(name)) || field_id(name) == FIELD_EXPECT) {
    lua_pushfstring(L, "the field %s cannot be set: the client writes it itself", name.ptr);
  } else if (field_id(name) == FIELD_HOST && !host_is_valid(str_trim(value))) {
    lua_pushfstring(L, "the value of field Host is no host: '%s'", value.ptr);
  } else {
    return 0;
  }
  return 1;
}

static const luaL_Reg functions[] = {{"http_check_field", check_field}, {NULL, NULL}};

void open_http_client(lua_State *L) {
  lua_newtable(L);
#define X(id, name, allowed) (lua_pushboolean(L, allowed), lua_setfield(L, -2, name));
  LENIENT_TABLE(X)
#undef X
  lua_setfield(L, -2, "lenient_default");
  lua_newtable(L);
#define X(id, name, allowed) (lua_pushnumber(L, LENIENT_##id), lua_setfield(L, -2, name));
  LENIENT_TABLE(X)
#undef X
  lua_setfield(L, -2, "lenient_bits");
  handle_push_waiting(L, head_start, head_result);
  lua_setfield(L, -2, "http_head");
  handle_push_waiting(L, body_start, body_result);
  lua_setfield(L, -2, "http_body");
  luaL_register(L, NULL, functions);
}
