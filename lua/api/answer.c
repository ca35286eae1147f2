// SPDX-License-Identifier: Apache-2.0
// answer: session:respond, the policy's own answer, and session:reset, which ends the request without one; and how
// session:start_response reads its table. Everything is checked before the exchange gets it, so a call that raises an
// error leaves no part of an answer behind.
#include <ctype.h>
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <string.h>

#include "base/nearest.h"
#include "http/h2_session.h"
#include "lua/api/fields.h"
#include "lua/api/options.h"
#include "lua/api/session.h"
#include "lua/vm/handle.h"
#include "lua/vm/script.h"
#include "lua/vm/text.h"
#include "lua/vm/vm.h"
#include "exchange/exchange.h"

#define LENGTH_MOST 9007199254740991.0 /* 2^53 - 1 */

struct wanted_answer {
  const char *call; /* "session:respond" */
  bool is_streamed; /* its text follows: there is no `body` */
  unsigned status;
  struct str reason, body;
  struct headers headers;
  bool close;
  bool has_length; /* of one that is streamed */
  uint64_t length;
};

static bool has_no_body(unsigned status) { return status == 204 || status == 304; }

/* headers = { name = value or array }, at the top of the stack. -0 +0 */
static void read_headers(lua_State *L, struct wanted_answer *wanted) {
  if (!lua_istable(L, -1))
    handle_raise(L, "%s: headers must be a table of names and values, got a %s value", wanted->call,
                 luaL_typename(L, -1));
  int table = lua_gettop(L);
  lua_pushnil(L);
  while (lua_next(L, table)) {
    if (lua_type(L, -2) != LUA_TSTRING)
      handle_raise(L,
                   "%s: a key of headers is a %s value, not the name of a field: write "
                   "headers = { [\"X-Name\"] = \"value\" }",
                   wanted->call, luaL_typename(L, -2));
    fields_append(L, &wanted->headers, table + 1, table + 2);
    lua_pop(L, 1);
  }
}

/* -0 +0 */
static void read_status(lua_State *L, struct wanted_answer *wanted) {
  lua_Number status = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
  if (!(status >= 200 && status <= 599))
    handle_raise(L, "%s: status must be a number from 200 to 599", wanted->call);
  wanted->status = (unsigned)status;
}

/* -0 +0 */
static void read_length(lua_State *L, struct wanted_answer *wanted) {
  lua_Number length = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;
  if (!(length >= 0 && length <= LENGTH_MOST && length == floor(length)))
    handle_raise(L, "%s: length must be the number of bytes that will be sent", wanted->call);
  wanted->length = (uint64_t)length;
  wanted->has_length = true;
}

/* -0 +0 */
static struct str read_text(lua_State *L, const struct wanted_answer *wanted, const char *name) {
  struct str text = {NULL, 0};
  if (lua_type(L, -1) != LUA_TSTRING) /* a number's text would not be kept by the table */
    handle_raise(L, "%s: %s must be a string, got a %s value", wanted->call, name, luaL_typename(L, -1));
  text.ptr = lua_tolstring(L, -1, &text.len);
  return text;
}

static const char *const fields[] = {"status", "reason", "headers", "body", "close", "length"};

/* core.answer_fields(): the names of the fields that an answer may have, as keys. For `perilune check`. -0 +1 */
int session_answer_fields(lua_State *L) {
  lua_newtable(L);
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    lua_pushboolean(L, 1);
    lua_setfield(L, -2, fields[i]);
  }
  return 1;
}

/* What people write who know other libraries. */
static const struct {
  const char *name, *instead;
} habits[] = {
    {"location", "headers = { Location = \"/path\" }"},
    {"json", "body = perilune.json.encode(value), headers = { [\"Content-Type\"] = \"application/json\" }"},
    {"content_type", "headers = { [\"Content-Type\"] = \"text/html\" }"},
    {"type", "headers = { [\"Content-Type\"] = \"text/html\" }"},
    {"cookie", "headers = { [\"Set-Cookie\"] = perilune.cookie.build(name, value) }"},
    {"cookies", "headers = { [\"Set-Cookie\"] = perilune.cookie.build(name, value) }"},
    {"code", "status = 200"},
    {"text", "body = \"...\""},
    {"content", "body = \"...\""},
    {"data", "body = \"...\""},
    {"html", "body = \"...\", headers = { [\"Content-Type\"] = \"text/html\" }"}};

/* NULL: none of these. "Content-Type" is "content_type". */
static const char *instead_of(const char *name) {
  for (size_t i = 0; i < sizeof habits / sizeof *habits; i++) {
    const char *a = habits[i].name, *b = name;
    while (*a && *b && (*a == (*b == '-' ? '_' : tolower((unsigned char)*b)))) a++, b++;
    if (!*a && !*b) return habits[i].instead;
  }
  return NULL;
}

/* core.answer_instead(name): what to write instead of a field that an answer does not have; nil: nothing is known
 * -1 +1 */
int session_answer_instead(lua_State *L) {
  lua_pushstring(L, instead_of(luaL_checkstring(L, 1)));
  return 1;
}

static __attribute__((cold)) void refuse_field(lua_State *L, const struct wanted_answer *wanted,
                                               const char *name) {
  struct nearest n = nearest_to(name);
  bool is_body = wanted->is_streamed && strcmp(name, "body") == 0;
  if (is_body) handle_raise(L, "%s: a streamed answer has no body: write it with session:send", wanted->call);
  if (strcmp(name, "length") == 0) handle_raise(L, "%s: length is that of the body", wanted->call);
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) nearest_offer(&n, fields[i]);
  if (instead_of(name))
    handle_raise(L, "%s: unknown field '%s': write %s", wanted->call, name, instead_of(name));
  handle_raise(L, "%s: unknown field '%s'%s%s%s; valid are status, reason, headers, %s, close", wanted->call,
               name, n.found ? " (did you mean " : "", n.found ? n.found : "", n.found ? "?)" : "",
               wanted->is_streamed ? "length" : "body");
}

/* One field of the table, its name below its value. -0 +0 */
static void read_field(lua_State *L, struct wanted_answer *wanted) {
  const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;
  if (!name)
    handle_raise(L, "%s: a value has no name: write { status = 200%s }", wanted->call,
                 wanted->is_streamed ? "" : ", body = \"...\"");
  else if (strcmp(name, "status") == 0)
    read_status(L, wanted);
  else if (strcmp(name, "headers") == 0)
    read_headers(L, wanted);
  else if (strcmp(name, "body") == 0 && !wanted->is_streamed)
    wanted->body = read_text(L, wanted, name);
  else if (strcmp(name, "length") == 0 && wanted->is_streamed)
    read_length(L, wanted);
  else if (strcmp(name, "reason") == 0)
    wanted->reason = read_text(L, wanted, name);
  else if (strcmp(name, "close") == 0)
    wanted->close = lua_toboolean(L, -1);
  else
    refuse_field(L, wanted, name);
}

/* -0 +0 */
static void check_whole(lua_State *L, const struct wanted_answer *wanted) {
  if (wanted->status == 0)
    handle_raise(L, "%s: status is missing: write %s { status = 200, ... }", wanted->call, wanted->call);
  if (!field_value_is_valid(wanted->reason))
    handle_raise(L, "%s: the reason has a control character in it", wanted->call);
  if (has_no_body(wanted->status) && (wanted->body.len || wanted->is_streamed))
    handle_raise(L, "%s: a response with status %d has no body%s", wanted->call, (int)wanted->status,
                 wanted->is_streamed ? ": use session:respond" : "");
}

/* A long body is sent from Lua's own string, which stays until the exchange has ended: as many answers as there may be
 * of one text, it is there once. */
enum { LONG_BODY = 16384 };

struct held_body {
  struct at_end at_end; /* first */
  lua_State *L;         /* borrowed: the VM's main state */
  int reference;        /* registry */
};

static void let_body_go(struct at_end *at_end) {
  struct held_body *held = (struct held_body *)at_end;
  luaL_unref(held->L, LUA_REGISTRYINDEX, held->reference);
}

/* Of the table at 2. -0 +0 */
static void hold_body(lua_State *L, struct exchange *x) {
  struct held_body *held = arena_alloc(&x->arena, sizeof *held);
  held->L = ((struct script *)x->script)->vm->L;
  lua_pushliteral(L, "body");
  lua_rawget(L, 2);
  held->reference = luaL_ref(L, LUA_REGISTRYINDEX);
  script_at_end(x->script, &held->at_end, let_body_go);
}

static bool is_held(const struct wanted_answer *wanted) { return wanted->body.len >= LONG_BODY; }

static size_t answer_bytes(const struct wanted_answer *wanted) {
  size_t bytes = sizeof(struct answer) + (is_held(wanted) ? 0 : wanted->body.len) + wanted->reason.len;
  for (unsigned i = 0; i < wanted->headers.count; i++)
    bytes += sizeof(struct field) + wanted->headers.items[i].name.len + wanted->headers.items[i].value.len;
  return bytes;
}

static void give(struct exchange *x, const struct wanted_answer *wanted) {
  struct answer *answer = exchange_answer(x, wanted->status);
  answer->response.headers = wanted->headers;
  answer->response.reason =
      wanted->reason.len ? arena_dup(&x->arena, wanted->reason) : status_reason(wanted->status);
  answer->content = is_held(wanted) ? wanted->body : arena_dup(&x->arena, wanted->body);
  answer->close = wanted->close;
  answer->has_length = wanted->has_length;
  answer->length = wanted->length;
}

/* "cancel", in any case, or a number. */
static uint32_t read_code(lua_State *L) {
  if (lua_isnoneornil(L, 2)) return H2_CANCEL;
  int type = lua_type(L, 2);
  lua_Number number = lua_tonumber(L, 2);
  if (type == LUA_TNUMBER && number >= 0 && number <= UINT32_MAX && number == floor(number))
    return (uint32_t)number;
  struct str name = type == LUA_TSTRING ? text_at(L, 2) : (struct str){0};
  for (uint32_t code = 0; code < H2_CODES; code++)
    if (str_equal_nocase(name, str_of(h2_code_name(code)))) return code;
  handle_raise(
      L, "session:reset: the code must be a name of RFC 9113 section 7, such as \"cancel\", or a number");
  return 0;
}

/* session:reset("cancel"): true, for `return session:reset`. */
int session_reset(lua_State *L) {
  struct exchange *x = session_check(L, 1);
  session_phase(L, x, ~(PHASE(answer_filter) | PHASE(logging) | BODY_PHASES), "session:reset");
  if (!exchange_can_answer(x)) return handle_raise(L, "session:reset comes too late: the response has begun");
  exchange_reset(x, read_code(L));
  lua_pushboolean(L, 1);
  return 1;
}

void session_answer(lua_State *L, struct exchange *x, bool is_streamed) {
  struct wanted_answer wanted = {.call = is_streamed ? "session:start_response" : "session:respond",
                                 .is_streamed = is_streamed};
  if (!exchange_can_answer(x)) handle_raise(L, "%s comes too late: the response has begun", wanted.call);
  if (!lua_istable(L, 2))
    handle_raise(L, "%s: expected a table, got a %s value: write %s { status = 200%s }", wanted.call,
                 lua_isnone(L, 2) ? "nil" : luaL_typename(L, 2), wanted.call,
                 is_streamed ? "" : ", body = \"...\"");
  headers_init(&wanted.headers, &x->arena);
  lua_pushnil(L);
  while (lua_next(L, 2)) {
    read_field(L, &wanted);
    lua_pop(L, 1);
  }
  check_whole(L, &wanted);
  script_lend(L, x->script, answer_bytes(&wanted));
  if (is_held(&wanted)) hold_body(L, x);
  give(x, &wanted);
}

/* session:respond { status = 429, headers = {...}, body = "...", close = true }: true, for `return
 * session:respond`. */
int session_respond(lua_State *L) {
  struct exchange *x = session_check(L, 1);
  session_phase(L, x, ~(PHASE(answer_filter) | PHASE(logging) | BODY_PHASES), "session:respond");
  session_answer(L, x, false);
  lua_pushboolean(L, 1);
  return 1;
}
