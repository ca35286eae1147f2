// SPDX-License-Identifier: Apache-2.0
// tcp_receive: socket:receive and socket:receive_until: readers that look for a line, a mark, a number of bytes or the
// end in what has arrived.
#include <lauxlib.h>
#include <lua.h>
#include <string.h>

#include "lua/api/tcp.h"
#include "lua/vm/task.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"

enum { LIMIT_BYTES = 8 << 20 };

/* The first `length` bytes of the input, and `more` behind them that are not wanted. */
static enum enough whole(struct socket *s, size_t length, size_t more) {
  s->piece = (struct str){buf_ptr(&s->in), length};
  s->used = length + more;
  return ENOUGH_WHOLE;
}

/* s->wanted: how far it was looked for the line's end. */
static enum enough read_line(struct socket *s) {
  size_t have = buf_len(&s->in), at = s->wanted;
  const char *bytes = have ? buf_ptr(&s->in) : NULL;
  const char *end = at < have ? memchr(bytes + at, '\n', have - at) : NULL;
  s->wanted = have;
  if (!end) return have > s->limit ? ENOUGH_LONG : ENOUGH_NOT;
  size_t length = (size_t)(end - bytes), cr = length && end[-1] == '\r';
  return length > s->limit ? ENOUGH_LONG : whole(s, length - cr, cr + 1);
}

static enum enough read_count(struct socket *s) {
  return buf_len(&s->in) >= s->wanted ? whole(s, s->wanted, 0) : ENOUGH_NOT;
}

static enum enough read_all(struct socket *s) {
  if (buf_len(&s->in) > s->limit) return ENOUGH_LONG;
  return s->eof ? whole(s, buf_len(&s->in), 0) : ENOUGH_NOT;
}

static enum enough read_any(struct socket *s) {
  size_t have = buf_len(&s->in);
  return have ? whole(s, have < s->limit ? have : s->limit, 0) : ENOUGH_NOT;
}

/* Argument 3. -0 +0 */
static size_t check_limit(lua_State *L) {
  if (lua_isnoneornil(L, 3)) return LIMIT_BYTES;
  lua_Number limit = lua_type(L, 3) == LUA_TNUMBER ? lua_tonumber(L, 3) : 0;
  if (!(limit >= 1 && limit <= 1e15))
    handle_raise(L, "socket:receive: the limit must be a number of bytes, 1 or more");
  return (size_t)limit;
}

static socket_reader *const readers[] = {
    [TCP_LINE] = read_line, [TCP_ALL] = read_all, [TCP_ANY] = read_any, [TCP_COUNT] = read_count};

/* What argument 2 asks for. -0 +0 */
static socket_reader *reader_of(lua_State *L, struct socket *s) {
  static const char *const names[] = {[TCP_LINE] = "line", [TCP_ALL] = "all", [TCP_ANY] = "any"};
  s->wanted = 0;
  s->limit = check_limit(L);
  if (lua_isnoneornil(L, 2)) return read_line;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (lua_type(L, 2) == LUA_TSTRING && strcmp(lua_tostring(L, 2), names[i]) == 0) return readers[i];
  lua_Number count = lua_type(L, 2) == LUA_TNUMBER ? lua_tonumber(L, 2) : -1;
  if (!(count >= 0 && count <= (lua_Number)s->limit && count == (lua_Number)(size_t)count))
    handle_raise(L, "socket:receive: expected \"line\", \"all\", \"any\" or a number of bytes up to %f",
                 (lua_Number)s->limit);
  s->wanted = (size_t)count;
  return read_count;
}

static int start_reading(lua_State *L, struct socket *s, socket_reader *reader, const char *call) {
  s->outstanding = "a receive on it did not end, so an answer may still come";
  return socket_read(L, reader, call);
}

int tcp_start_receive(lua_State *L, struct socket *s, enum tcp_what what, size_t count) {
  size_t most = s->vm->memory.cap_bytes; /* what comes becomes a string of that VM */
  s->wanted = count;
  s->limit = what == TCP_ALL ? most : count > LIMIT_BYTES ? count : LIMIT_BYTES;
  return start_reading(L, s, readers[what], "socket:receive");
}

/* socket:receive("line" | "all" | "any" | count [, limit]) -3 +0 (yields) */
static int receive_start(lua_State *L) {
  struct socket *s = socket_check(L);
  if (!s) return 0;
  if (s->reading.task) return handle_raise(L, "socket:receive: another task receives already");
  return start_reading(L, s, reader_of(L, s), "socket:receive");
}

/* What was wanted. -0 +1 */
static int push_piece(lua_State *L, struct socket *s) {
  s->outstanding = NULL;
  lua_pushlstring(L, s->piece.ptr ? s->piece.ptr : "", s->piece.len);
  buf_consume(&s->in, s->used);
  return 1;
}

/* nil, a sentence, and what there is of it. -0 +3 */
static int push_partial(lua_State *L, struct socket *s) {
  s->is_broken = true;
  socket_push_failure(L, s, s->reading.outcome);
  lua_pushlstring(L, buf_len(&s->in) ? buf_ptr(&s->in) : "", buf_len(&s->in));
  buf_clear(&s->in);
  return 3;
}

int tcp_received(lua_State *L) {
  struct socket *s = socket_check(L);
  if (!s) return socket_push_failure(L, s, OUTCOME_CLOSED);
  if (s->reading.task) return task_not_done(L, "socket:receive");
  return s->reading.outcome == OUTCOME_OK ? push_piece(L, s) : push_partial(L, s);
}

/* --- until a mark ---------------------------------------------------------------------------------------- */

/* s->wanted: no mark begins before it. With a limit for pieces, what lies before the mark comes in pieces of that size,
 * and what could be the beginning of the mark is held back. */
static enum enough read_until(struct socket *s) {
  size_t have = buf_len(&s->in), length = s->until.mark.len;
  const char *bytes = have ? buf_ptr(&s->in) : "";
  const char *found =
      have > s->wanted ? memmem(bytes + s->wanted, have - s->wanted, s->until.mark.ptr, length) : NULL;
  size_t at = found ? (size_t)(found - bytes) : have < length ? 0 : have - length + 1;
  s->until.is_at_mark = found && (!s->until.piece_bytes || at <= s->until.piece_bytes);
  if (s->until.is_at_mark)
    return whole(s, at + (s->until.is_inclusive ? length : 0), s->until.is_inclusive ? 0 : length);
  if (s->until.piece_bytes && at >= s->until.piece_bytes) return whole(s, s->until.piece_bytes, 0);
  s->wanted = at > s->wanted ? at : s->wanted;
  return have > s->limit ? ENOUGH_LONG : ENOUGH_NOT;
}

/* A number of bytes at `index`; 0: none was given. -0 +0 */
static size_t check_bytes(lua_State *L, int index, const char *what) {
  if (lua_isnoneornil(L, index)) return 0;
  lua_Number bytes = lua_type(L, index) == LUA_TNUMBER ? lua_tonumber(L, index) : 0;
  if (!(bytes >= 1 && bytes <= LIMIT_BYTES && bytes == (lua_Number)(size_t)bytes))
    handle_raise(L, "socket:receive_until: %s must be a whole number of bytes, from 1 to %d", what,
                 LIMIT_BYTES);
  return (size_t)bytes;
}

/* socket:receive_until(mark [, piece_bytes [, inclusive]]). The mark stays on the stack of the coroutine that waits.
 * -4 +0 (yields) */
static int until_start(lua_State *L) {
  struct socket *s = socket_check(L);
  if (!s) return 0;
  if (s->reading.task) return handle_raise(L, "socket:receive_until: another task receives already");
  if (lua_type(L, 2) != LUA_TSTRING || lua_objlen(L, 2) == 0)
    return handle_raise(L, "socket:receive_until: the mark must be a string, and not an empty one");
  s->until.mark = text_of(L, 2);
  s->until.piece_bytes = check_bytes(L, 3, "the length of a piece");
  s->until.is_inclusive = lua_toboolean(L, 4);
  s->wanted = 0;
  s->limit = LIMIT_BYTES;
  return start_reading(L, s, read_until, "socket:receive_until");
}

/* A text, and whether the mark was behind it; or nil, a sentence, and what there is of it -4 +2 | -4 +3 */
static int until_result(lua_State *L) {
  struct socket *s = socket_check(L);
  if (!s) return socket_push_failure(L, s, OUTCOME_CLOSED);
  if (s->reading.task) return task_not_done(L, "socket:receive_until");
  if (s->reading.outcome != OUTCOME_OK) return push_partial(L, s);
  push_piece(L, s);
  lua_pushboolean(L, s->until.is_at_mark);
  return 2;
}

void tcp_add_receive(lua_State *L) {
  handle_add_waiting(L, HANDLE_SOCKET, "receive", receive_start, tcp_received);
  handle_add_waiting(L, HANDLE_SOCKET, "receive_until", until_start, until_result);
}
