// SPDX-License-Identifier: Apache-2.0
// h2_client: one request over HTTP/2 as bytes, for a connection of the policy's own. What is to be sent is asked for,
// what came is given, and in the end there is a result. The session is the one that the proxy's own connections have,
// so responses are judged as strictly as those of its peers. lua/perilune/h2_request.lua moves the bytes.
//
// A connection has one request at a time. Its session belongs to the request while that is under way, and otherwise to
// the socket (socket->h2), with which it is kept in the pool and ends: so it has one owner at any time.
#include <lauxlib.h>
#include <lua.h>

#include "http/h2_session.h"
#include "lua/api/socket.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"
#include "net/tls.h"

enum { WINDOW = 65536, WINDOW_MOST = 1 << 20, HEAD_BYTES = 65536, FIELDS = 200, OUT_BYTES = 65536 };

struct h2_client {
  struct handle handle;
  struct h2_session *session; /* owned */
  struct h2_stream *stream;   /* held until the end; NULL: there never was one */
  struct arena arena;         /* owned: heads of the response, and the fields of the request */
  struct buf body;            /* owned: what is still to be sent */
  struct response response;
  enum method method;
  bool has_body; /* all of it: nothing follows what is in `body` */
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
  arena_free(&c->arena);
}

static uint64_t now(lua_State *L) { return loop_now_ms(vm_of(L)->host.loop); }

static struct h2_session *new_session(lua_State *L) {
  const struct h2_config config = {.streams = 1,
                                   .stream_window = WINDOW,
                                   .window_most = WINDOW_MOST,
                                   .held_bytes = WINDOW_MOST,
                                   .out_bytes = OUT_BYTES,
                                   .head = {.head_bytes = HEAD_BYTES, .fields = FIELDS},
                                   .allowances = {H2_RESETS_DEFAULT, H2_CONTROLS_DEFAULT}};
  return h2_session_new(&config, now(L));
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

/* The socket at `index`; NULL: it is closed. */
static struct socket *socket_at(lua_State *L, int index) {
  return ((struct socket_handle *)handle_check(L, index, HANDLE_SOCKET))->socket;
}

/* The session that the socket has been kept with, or a new one. */
static struct h2_session *session_for(lua_State *L, struct socket *socket) {
  struct h2_session *session = socket->h2;
  socket->h2 = NULL;
  return session ? session : new_session(L);
}

/* core.h2_request(socket, method, scheme, authority, path, fields, body): nil where a field cannot be sent, or the
 * socket is closed. body: nil: none; true: client:give gives it -7 +1 */
static int request(lua_State *L) {
  struct socket *socket = socket_at(L, 1);
  struct str method = text_at(L, 2), scheme = text_at(L, 3), authority = text_at(L, 4),
             target = text_at(L, 5);
  bool ends = lua_isnoneornil(L, 7), has_pieces = lua_isboolean(L, 7);
  struct str body = ends || has_pieces ? (struct str){0} : text_at(L, 7);
  luaL_checktype(L, 6, LUA_TTABLE);
  if (!socket) return push_nil(L);
  struct h2_client *c = handle_new(L, HANDLE_H2_CLIENT, sizeof *c);
  arena_init(&c->arena);
  c->method = method_of(method);
  struct request wanted = {.method = c->method,
                           .method_name = arena_dup(&c->arena, method),
                           .authority = arena_dup(&c->arena, authority),
                           .target = arena_dup(&c->arena, target)};
  read_fields(L, 6, c, &wanted);
  struct h2_fields fields = h2_fields_of_request(&c->arena, &wanted, (struct body){FRAMING_NONE, 0}, scheme);
  if (!fields.items) return push_nil(L);
  c->session = session_for(L, socket);
  c->stream = h2_session_request(c->session, &fields, c->method, ends, &c->arena);
  if (!c->stream) c->why = "no stream could be opened";
  c->is_sent = ends;
  c->has_body = !has_pieces;
  buf_append_str(&c->body, body);
  return 1;
}

/* core.h2_chosen(socket): by ALPN -1 +1 */
static int chosen(lua_State *L) {
  const struct socket *socket = socket_at(L, 1);
  lua_pushboolean(L, socket && tls_chose_http2(&socket->conn));
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
  struct str part = buf_len(&c->body) ? buf_str(&c->body) : STR("");
  if (!part.len && !c->has_body) return;
  buf_consume(&c->body, h2_stream_write(c->stream, &part, 1, c->has_body));
  c->is_sent = c->has_body && buf_len(&c->body) == 0;
}

/* client:give(piece or nil): the next piece of a body, nil behind the last -2 +0 */
static int give(lua_State *L) {
  struct h2_client *c = client_check(L);
  c->has_body = lua_isnoneornil(L, 2);
  if (!c->has_body) buf_append_str(&c->body, text_at(L, 2));
  return 0;
}

/* client:unsent(): bytes of the body that were given and not taken into a frame yet -1 +1 */
static int unsent(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)buf_len(&client_check(L)->body));
  return 1;
}

/* client:out(): what is to be written now, "" for nothing -1 +1 */
static int out(lua_State *L) {
  struct h2_client *c = client_check(L);
  if (!c->session) return push_text(L, STR(""));
  send_body(c);
  if (!h2_session_send(c->session) && !c->is_over) fail_session(c);
  struct buf *bytes = h2_session_out(c->session);
  lua_pushlstring(L, buf_len(bytes) ? buf_ptr(bytes) : "", buf_len(bytes));
  buf_clear(bytes);
  return 1;
}

static void take_head(struct h2_client *c) {
  struct h2_head *head;
  while (!c->has_head && (head = h2_stream_head(c->stream))) {
    if (h2_head_response(head, c->method, &c->response) != ERROR_NONE) return fail(c, head->why);
    c->has_head = c->response.status >= 200;
  }
}

static void take_news(struct h2_client *c) {
  struct h2_stream *stream;
  unsigned news;
  while ((stream = h2_session_next(c->session, &news))) {
    if (stream != c->stream) continue;
    if (news & H2_NEWS_HEAD) take_head(c);
    if (news & H2_NEWS_END) c->is_over = true;
    if (news & H2_NEWS_RESET && !c->is_over) fail(c, stream->why ? stream->why : h2_code_name(stream->code));
  }
}

/* client:feed(bytes): what has come. True: it is over -2 +1 */
static int feed(lua_State *L) {
  struct h2_client *c = client_check(L);
  struct str bytes = text_at(L, 2);
  if (c->session && !c->is_over) {
    bool is_fine = h2_session_receive(c->session, bytes.ptr, bytes.len, now(L));
    take_news(c);
    if (!is_fine && !c->is_over) fail_session(c);
  }
  lua_pushboolean(L, c->is_over);
  return 1;
}

/* client:head(): { status, reason = "", fields }, once the final head has come; nil before -1 +1 */
static int head(lua_State *L) {
  struct h2_client *c = client_check(L);
  if (!c->has_head) return push_nil(L);
  lua_createtable(L, 0, 6);
  set_number(L, "status", c->response.status);
  set_text(L, "reason", STR(""));
  push_fields(L, &c->response.headers);
  lua_setfield(L, -2, "fields");
  return 1;
}

/* client:take(): the bytes of the body that have come since it was called last, "" for none -1 +1 */
static int take(lua_State *L) {
  struct h2_client *c = client_check(L);
  size_t bytes = c->stream ? buf_len(&c->stream->in) : 0;
  if (!bytes) return push_text(L, STR(""));
  push_text(L, buf_str(&c->stream->in));
  h2_stream_used(c->stream, bytes);
  return 1;
}

/* client:fault(): why it has failed; nil: it has not -1 +1 */
static int fault(lua_State *L) {
  struct h2_client *c = client_check(L);
  if (!c->why) return push_nil(L);
  lua_pushstring(L, c->why);
  return 1;
}

/* client:was_refused(): the server has certainly not acted on it -1 +1 */
static int was_refused(lua_State *L) {
  struct h2_client *c = client_check(L);
  lua_pushboolean(L, c->stream && c->stream->was_refused);
  return 1;
}

/* client:trailers(): { name, value, ... } -1 +1 */
static int trailers(lua_State *L) {
  struct h2_client *c = client_check(L);
  const struct headers none = {0};
  push_fields(L, c->stream ? &c->stream->trailers : &none);
  return 1;
}

/* client:leave(socket): the session goes to the socket, for the next request. False: it can take none -2 +1 */
static int leave(lua_State *L) {
  struct h2_client *c = client_check(L);
  struct socket *socket = socket_at(L, 2);
  bool may = socket && !socket->h2 && c->session && c->is_over && c->is_sent && !c->why &&
             !h2_session_is_leaving(c->session) && !h2_session_is_over(c->session);
  if (may) {
    h2_stream_release(c->stream);
    c->stream = NULL;
    socket->h2 = c->session;
    socket->outstanding = NULL; /* the session knows better than the socket */
    c->session = NULL;
  }
  lua_pushboolean(L, may);
  return 1;
}

void open_h2_client(lua_State *L) {
  static const luaL_Reg methods[] = {
      {"out", out},           {"give", give},   {"unsent", unsent}, {"feed", feed},
      {"head", head},         {"take", take},   {"fault", fault},   {"was_refused", was_refused},
      {"trailers", trailers}, {"leave", leave}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"h2_request", request}, {"h2_chosen", chosen}, {NULL, NULL}};
  handle_define(L, HANDLE_H2_CLIENT, "perilune.h2_client", methods, NULL);
  handle_set_end(L, HANDLE_H2_CLIENT, end);
  luaL_register(L, NULL, functions);
}
