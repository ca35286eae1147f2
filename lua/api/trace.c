// SPDX-License-Identifier: Apache-2.0
// trace: the C side of lua/perilune/trace.lua: spans of the exchange of a session, by their numbers. Without tracing,
// and where the trace is not sampled, all of it does nothing but check its arguments.
#include "lua/api/trace.h"

#include <lauxlib.h>
#include <math.h>

#include "base/escape.h"
#include "base/protobuf.h"
#include "exchange/exchange.h"
#include "lua/api/session.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/script.h"
#include "lua/vm/task.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"

enum { ANY_STRING = 1, ANY_BOOL, ANY_INT, ANY_DOUBLE }; /* the fields of AnyValue */

/* --- values --- */

static void put_number(struct protobuf *p, lua_Number number) {
  uint64_t bits;
  bool is_whole = number == floor(number) && fabs(number) <= 9007199254740992.0;
  if (is_whole) {
    protobuf_put_number(p, ANY_INT, (uint64_t)(int64_t)number);
    return;
  }
  memcpy(&bits, &number, sizeof bits);
  protobuf_put_fixed64(p, ANY_DOUBLE, bits);
}

struct str trace_any_at(lua_State *L, int index, char room[SPAN_ANY_BYTES]) {
  char text[SPAN_VALUE_BYTES];
  struct protobuf p = {room, room + SPAN_ANY_BYTES, 0};
  switch (lua_type(L, index)) {
  case LUA_TNIL: break;
  case LUA_TBOOLEAN: protobuf_put_number(&p, ANY_BOOL, (uint64_t)lua_toboolean(L, index)); break;
  case LUA_TNUMBER: put_number(&p, lua_tonumber(L, index)); break;
  default: {
    size_t length = escape_utf8(text, sizeof text, text_at(L, index));
    protobuf_field(&p, ANY_STRING, (struct str){text, length});
  }
  }
  return (struct str){room, (size_t)(p.at - room)};
}

struct str trace_key_at(lua_State *L, int index) {
  struct str key = text_at(L, index);
  bool is_fine = key.len > 0 && key.len <= SPAN_KEY_BYTES;
  for (size_t i = 0; i < key.len; i++) is_fine = is_fine && key.ptr[i] > ' ' && key.ptr[i] <= '~';
  if (!is_fine)
    handle_raise(L, "the name of an attribute has 1 to %d visible ASCII characters, such as \"tenant.id\"",
                 SPAN_KEY_BYTES);
  return key;
}

/* --- the trace. The session is at 1 --- */

/* core.trace_id(session): nil without tracing -1 +1 */
static int trace_id(lua_State *L) {
  char text[TRACE_ID_TEXT];
  const struct exchange *x = session_check(L, 1);
  if (!x->account.trace) return push_nil(L);
  trace_write_id(x->account.trace, text);
  return push_text(L, (struct str){text, sizeof text});
}

/* core.trace_is_sampled(session) -1 +1 */
static int is_sampled(lua_State *L) {
  const struct exchange *x = session_check(L, 1);
  lua_pushboolean(L, x->account.trace && x->account.trace->context.is_sampled);
  return 1;
}

/* core.trace_sample(session, flag) -2 +0 */
static int sample(lua_State *L) {
  struct exchange *x = session_check(L, 1);
  if (!lua_isboolean(L, 2))
    return handle_raise(L, "trace:set_sampled: expected true or false, got a %s value", luaL_typename(L, 2));
  session_phase(L, x, ~0u, "trace:set_sampled");
  if (x->account.trace) trace_sample(x, lua_toboolean(L, 2));
  return 0;
}

/* --- spans. The number of one is at 2 --- */

static struct str cut(struct str text) {
  return (struct str){text.ptr, text.len < SPAN_VALUE_BYTES ? text.len : SPAN_VALUE_BYTES};
}

/* Cut, and in the arena of the exchange. -0 +0 */
static struct str keep(lua_State *L, struct exchange *x, struct str text) {
  text = cut(text);
  script_lend(L, x->script, text.len);
  return arena_dup(&x->arena, text);
}

static struct span *span_at(lua_State *L, const struct exchange *x) {
  return trace_span(x, (unsigned)luaL_checkinteger(L, 2));
}

/* core.trace_open(session, parent, name): its number, 0 where nothing is recorded -3 +1 */
static int open_span(lua_State *L) {
  struct exchange *x = session_check(L, 1);
  struct str name = cut(text_at(L, 3));
  const struct span *parent = span_at(L, x), *span = NULL;
  if (!name.len) return handle_raise(L, "the name of a span must not be empty");
  if (parent) {
    script_lend(L, x->script, sizeof *span + name.len);
    span = trace_open(x, parent, SPAN_INTERNAL, name);
  }
  lua_pushinteger(L, span ? (lua_Integer)span->number : 0);
  return 1;
}

/* core.trace_close(session, number) -2 +0 */
static int close_span(lua_State *L) {
  struct exchange *x = session_check(L, 1);
  struct span *span = span_at(L, x);
  if (span && span->number) span_close(span);
  return 0;
}

/* core.trace_fail(session, number, why) -3 +0 */
static int fail_span(lua_State *L) {
  struct exchange *x = session_check(L, 1);
  struct span *span = span_at(L, x);
  struct str why = text_at(L, 3);
  if (span) span->error = keep(L, x, why);
  return 0;
}

/* core.trace_set(session, number, key, value) -4 +0 */
static int set_attribute(lua_State *L) {
  char room[SPAN_ANY_BYTES];
  struct exchange *x = session_check(L, 1);
  struct span *span = span_at(L, x);
  struct str key = trace_key_at(L, 3);
  struct str value = trace_any_at(L, 4, room);
  if (!span) return 0;
  script_lend(L, x->script, span_room_for(span, key, value));
  span_set(x, span, key, value);
  return 0;
}

/* core.trace_set_name(session, number, name) -3 +0 */
static int set_name(lua_State *L) {
  struct exchange *x = session_check(L, 1);
  struct span *span = span_at(L, x);
  struct str name = text_at(L, 3);
  if (span) span->name = keep(L, x, name);
  return 0;
}

/* core.trace_parent(session, number): the value of traceparent for a request below the span; nil without tracing
 * -2 +1 */
static int push_parent(lua_State *L) {
  char text[TRACEPARENT_TEXT];
  const struct exchange *x = session_check(L, 1);
  const struct span *span = span_at(L, x);
  if (!x->account.trace) return push_nil(L);
  trace_write(x, span, text);
  return push_text(L, (struct str){text, sizeof text});
}

/* core.trace_enter(number): the span of the task that runs, below which its calls are; gives the one before -1 +1 */
static int enter(lua_State *L) {
  struct task *running = vm_of(L)->running;
  unsigned before = running ? running->span : 0, number = (unsigned)luaL_checkinteger(L, 1);
  if (running) running->span = number;
  lua_pushinteger(L, (lua_Integer)before);
  return 1;
}

/* --- calls of perilune.http, for the exchange whose task runs --- */

static struct exchange *running_exchange(lua_State *L) {
  const struct task *running = vm_of(L)->running;
  struct exchange *x = running && running->script ? running->script->x : NULL;
  return x && x->account.trace ? x : NULL;
}

/* The client's tracestate, where it goes on; nil. -0 +1 */
static void push_state(lua_State *L, const struct exchange *x) {
  const struct headers *headers = &x->request.headers;
  const struct field *field = x->account.trace->parent ? headers_find_id(headers, FIELD_TRACESTATE) : NULL;
  bool goes_on = field && !x->account.trace->drops_state && headers_count_id(headers, FIELD_TRACESTATE) == 1;
  push_text_or_nil(L, goes_on ? field->value : (struct str){0});
}

/* core.trace_call(method, address, url): the number of its span (0: it has none), traceparent, tracestate or nil;
 * nothing where no trace is known -3 +3 | -3 +0 */
static int begin_call(lua_State *L) {
  char text[TRACEPARENT_TEXT];
  struct exchange *x = running_exchange(L);
  if (!x) return 0;
  struct str method = text_at(L, 1), address = text_at(L, 2), url = text_at(L, 3);
  struct span *parent = trace_span(x, vm_of(L)->running->span), *span = NULL;
  if (parent) {
    script_lend(L, x->script, sizeof *span + method.len + address.len + url.len);
    span = trace_open(x, parent, SPAN_CLIENT, method);
  }
  if (span) {
    span->address = arena_dup(&x->arena, address);
    span->url = arena_dup(&x->arena, (struct str){url.ptr, str_find(url, '?')});
  }
  trace_write(x, span, text);
  lua_pushinteger(L, span ? (lua_Integer)span->number : 0);
  push_text(L, (struct str){text, sizeof text});
  push_state(L, x);
  return 3;
}

/* core.trace_call_end(number, status or nil, error or nil) -3 +0 */
static int end_call(lua_State *L) {
  struct exchange *x = running_exchange(L);
  struct span *span = x ? trace_span(x, (unsigned)luaL_checkinteger(L, 1)) : NULL;
  if (!span || !span->number) return 0;
  if (lua_isnumber(L, 2)) span->status = (unsigned)lua_tointeger(L, 2);
  if (lua_isstring(L, 3)) span->error = keep(L, x, text_at(L, 3));
  span_close(span);
  return 0;
}

static const luaL_Reg functions[] = {{"trace_id", trace_id},
                                     {"trace_is_sampled", is_sampled},
                                     {"trace_sample", sample},
                                     {"trace_open", open_span},
                                     {"trace_close", close_span},
                                     {"trace_fail", fail_span},
                                     {"trace_set", set_attribute},
                                     {"trace_set_name", set_name},
                                     {"trace_parent", push_parent},
                                     {"trace_enter", enter},
                                     {"trace_call", begin_call},
                                     {"trace_call_end", end_call},
                                     {NULL, NULL}};

void open_trace(lua_State *L) { luaL_register(L, NULL, functions); }
