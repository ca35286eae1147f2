// SPDX-License-Identifier: Apache-2.0
// h2_client: one request over HTTP/2 as bytes, for a connection of the policy's own: no socket is touched here. What is
// to be sent is asked for, what came is given, and in the end there is a result. The session is the one that the
// proxy's own connections have, so responses are judged as strictly as those of its peers.
// lua/perilune/h2_request.lua moves the bytes.
#include <lauxlib.h>
#include <lua.h>

#include "http/h2_session.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"

enum { WINDOW = 65536, BODY_MOST = 1 << 20, HEAD_BYTES = 65536, FIELDS = 200, OUT_BYTES = 65536 };

struct h2_client {
  struct handle handle;
  struct h2_session *session; /* owned */
  struct h2_stream *stream;   /* held until the end; NULL: there never was one */
  struct arena arena;         /* owned: heads of the response, and the fields of the request */
  struct buf body, content;   /* owned: what is still to be sent, and what has come */
  struct response response;
  enum method method;
  bool has_head, is_sent, is_over;
  const char *why; /* static; set: it has failed */
};

static struct h2_client *client_check(lua_State *L) { return handle_check(L, 1, HANDLE_H2_CLIENT); }

/* --- life ----------------------------------------------------------------------------------------------- */

static void end(void *handle) {
  struct h2_client *c = handle;
  if (c->stream) h2_stream_release(c->stream);
  if (c->session) h2_session_free(c->session);
  c->stream = NULL;
  c->session = NULL;
  buf_release(&c->body);
  buf_release(&c->content);
  arena_free(&c->arena);
}

static struct h2_session *new_session(void) {
  const struct h2_config config = {.streams = 1,
                                   .stream_window = WINDOW,
                                   .window_most = WINDOW,
                                   .held_bytes = BODY_MOST,
                                   .out_bytes = OUT_BYTES,
                                   .head = {.head_bytes = HEAD_BYTES, .fields = FIELDS},
                                   .allowances = {H2_RESETS_DEFAULT, H2_CONTROLS_DEFAULT}};
  return h2_session_new(&config, 0);
}

/* The fields { name, value, ... } at `index`, behind those that HTTP/2 wants first. -0 +0 */
static void read_fields(lua_State *L, int index, struct h2_client *c, struct request *request) {
  headers_init(&request->headers, &c->arena);
  for (int i = 1, count = (int)lua_objlen(L, index); i < count; i += 2) {
    lua_rawgeti(L, index, i);
    lua_rawgeti(L, index, i + 1);
    headers_add(&request->headers, arena_dup(&c->arena, text_at(L, -2)),
                arena_dup(&c->arena, text_at(L, -1)));
    lua_pop(L, 2);
  }
}

/* core.h2_request(method, scheme, authority, path, fields, body or nil): nil where a field cannot be sent -6 +1 */
static int request(lua_State *L) {
  struct str method = text_at(L, 1), scheme = text_at(L, 2);
  bool has_body = !lua_isnoneornil(L, 6);
  struct str body = has_body ? text_at(L, 6) : (struct str){0};
  luaL_checktype(L, 5, LUA_TTABLE);
  struct h2_client *c = handle_new(L, HANDLE_H2_CLIENT, sizeof *c);
  arena_init(&c->arena);
  c->method = method_of(method);
  struct request wanted = {.method = c->method,
                           .method_name = arena_dup(&c->arena, method),
                           .authority = arena_dup(&c->arena, text_at(L, 3)),
                           .target = arena_dup(&c->arena, text_at(L, 4))};
  read_fields(L, 5, c, &wanted);
  struct h2_fields fields = h2_fields_of_request(&c->arena, &wanted, (struct body){FRAMING_NONE, 0}, scheme);
  if (!fields.items) return push_nil(L);
  c->session = new_session();
  c->stream = h2_session_request(c->session, &fields, c->method, !has_body, &c->arena);
  if (!c->stream) c->why = "no stream could be opened";
  c->is_sent = !has_body;
  buf_append_str(&c->body, body);
  return 1;
}

/* --- bytes ---------------------------------------------------------------------------------------------- */

static void fail(struct h2_client *c, const char *why) {
  if (!c->why) c->why = why;
  c->is_over = true;
}

/* The connection is at fault. */
static void fail_session(struct h2_client *c) {
  const char *why = NULL;
  bool by_peer;
  uint32_t code = h2_session_fault(c->session, &why, &by_peer);
  fail(c, why ? why : h2_code_name(code));
}

static void send_body(struct h2_client *c) {
  if (!c->stream || c->is_sent || c->is_over || c->why) return;
  struct str part = buf_str(&c->body);
  buf_consume(&c->body, h2_stream_write(c->stream, &part, 1, true));
  c->is_sent = buf_len(&c->body) == 0;
}

/* client:out(): what is to be written now, "" for nothing -1 +1 */
static int out(lua_State *L) {
  struct h2_client *c = client_check(L);
  if (!c->session) return push_text(L, STR(""));
  send_body(c);
  if (!h2_session_send(c->session) && !c->is_over) fail_session(c);
  struct buf *bytes = h2_session_out(c->session);
  lua_pushlstring(L, buf_len(bytes) ? buf_ptr(bytes) : "", buf_len(bytes));
  buf_consume(bytes, buf_len(bytes));
  return 1;
}

static void take_head(struct h2_client *c) {
  struct h2_head *head;
  while (!c->has_head && (head = h2_stream_head(c->stream))) {
    if (h2_head_response(head, c->method, &c->response) != ERROR_NONE) return fail(c, head->why);
    c->has_head = c->response.status >= 200;
  }
}

static void take_body(struct h2_client *c) {
  while (buf_len(&c->stream->in)) {
    size_t bytes = buf_len(&c->stream->in);
    if (buf_len(&c->content) + bytes > BODY_MOST) return fail(c, "the answer is longer than 1 MiB");
    buf_append_str(&c->content, buf_str(&c->stream->in));
    h2_stream_used(c->stream, bytes);
  }
}

static void take_news(struct h2_client *c) {
  struct h2_stream *stream;
  unsigned news;
  while ((stream = h2_session_next(c->session, &news))) {
    if (stream != c->stream) continue;
    if (news & H2_NEWS_HEAD) take_head(c);
    if (!c->is_over) take_body(c);
    if (news & H2_NEWS_END) c->is_over = true;
    if (news & H2_NEWS_RESET && !c->is_over) fail(c, stream->why ? stream->why : h2_code_name(stream->code));
  }
}

/* client:feed(bytes): what has come. True: it is over -2 +1 */
static int feed(lua_State *L) {
  struct h2_client *c = client_check(L);
  struct str bytes = text_at(L, 2);
  if (c->session && !c->is_over) {
    bool is_fine = h2_session_receive(c->session, bytes.ptr, bytes.len, 0);
    take_news(c);
    if (!is_fine && !c->is_over) fail_session(c);
  }
  lua_pushboolean(L, c->is_over);
  return 1;
}

/* client:head(): { status }, once the final head has come; nil before -1 +1 */
static int head(lua_State *L) {
  struct h2_client *c = client_check(L);
  if (!c->has_head) return push_nil(L);
  lua_createtable(L, 0, 1);
  set_number(L, "status", c->response.status);
  return 1;
}

/* client:take(): the bytes of the body that have come since it was called last -1 +1 */
static int take(lua_State *L) {
  struct h2_client *c = client_check(L);
  push_text(L, buf_len(&c->content) ? buf_str(&c->content) : STR(""));
  buf_consume(&c->content, buf_len(&c->content));
  return 1;
}

/* client:result(): { status, fields, trailers, body }; nil and why, or nil alone: not yet -1 +2 */
static int result(lua_State *L) {
  struct h2_client *c = client_check(L);
  lua_pushnil(L);
  if (c->why) lua_pushstring(L, c->why);
  if (c->why) return 2;
  if (!c->is_over) return 1;
  lua_createtable(L, 0, 4);
  set_number(L, "status", c->response.status);
  push_fields(L, &c->response.headers);
  lua_setfield(L, -2, "fields");
  push_fields(L, &c->stream->trailers);
  lua_setfield(L, -2, "trailers");
  set_text(L, "body", buf_str(&c->content));
  return 1;
}

void open_h2_client(lua_State *L) {
  static const luaL_Reg methods[] = {{"out", out},   {"feed", feed},     {"head", head},
                                     {"take", take}, {"result", result}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"h2_request", request}, {NULL, NULL}};
  handle_define(L, HANDLE_H2_CLIENT, "perilune.h2_client", methods, NULL);
  handle_set_end(L, HANDLE_H2_CLIENT, end);
  luaL_register(L, NULL, functions);
}
