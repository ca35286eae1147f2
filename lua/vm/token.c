// SPDX-License-Identifier: Apache-2.0
// token: seats, and numbers in light userdata. The hard problem is to tell a token from anything else, and one use of
// a seat from all others, within the bits that LuaJIT has for a light userdata. Bit 39 marks a token: addresses are
// above it or, of old-style binaries, below. A seat's uses are counted modulo 2^19, so a token that was kept for long
// may be mistaken for a later one of the same seat, once in half a million times; but it always leads to a current
// exchange.
#include "lua/vm/token.h"

#include <stdint.h>
#include <string.h>

#include "base/memory.h"
#include "lua/vm/handle.h"
#include "lua/vm/nouns.h"
#include "lua/vm/push.h"
#include "lua/vm/script.h"
#include "lua/vm/vm.h"
#include "exchange/exchange.h"

enum { SEAT_BITS = 17, KIND_BITS = 3, USE_BITS = 19, USE_SHIFT = SEAT_BITS + KIND_BITS };
#define MARK      (UINT64_C(1) << (USE_SHIFT + USE_BITS))
#define SEATS     (1u << SEAT_BITS)
#define USES      (1u << USE_BITS)
#define KIND_MASK ((1u << KIND_BITS) - 1)

static const char *const names[] = {"session", "request", "request", "response", "trailers"};

struct seat {
  struct script *script; /* borrowed; NULL: free */
  unsigned use;
  unsigned next_free; /* of a free one, as seats.free */
};

/* --- seats ---------------------------------------------------------------------------------------------- */

static void add_seats(struct seats *seats) {
  unsigned room = seats->room ? seats->room * 2 : 64;
  seats->all = memory_realloc(seats->all, room * sizeof *seats->all);
  memset(seats->all + seats->room, 0, (room - seats->room) * sizeof *seats->all);
  seats->room = room;
}

bool seat_take(struct seats *seats, struct script *script) {
  unsigned place;
  if (seats->free) {
    place = seats->free - 1;
    seats->free = seats->all[place].next_free;
  } else {
    if (seats->count == SEATS) return false;
    if (seats->count == seats->room) add_seats(seats);
    place = seats->count++;
  }
  seats->all[place].script = script;
  script->token = MARK | (uint64_t)seats->all[place].use << USE_SHIFT | place;
  return true;
}

void seat_leave(struct seats *seats, const struct script *script) {
  unsigned place = script->token % SEATS;
  struct seat *seat = &seats->all[place];
  seat->script = NULL;
  seat->use = (seat->use + 1) % USES;
  seat->next_free = seats->free;
  seats->free = place + 1;
}

/* --- tokens --------------------------------------------------------------------------------------------- */

void token_push(lua_State *L, const struct script *script, enum token_kind kind) {
  lua_pushlightuserdata(L, (void *)(uintptr_t)(script->token | (uint64_t)kind << SEAT_BITS));
}

static inline bool is_token(const struct seats *seats, uint64_t bits) {
  return bits / MARK == 1 && bits % SEATS < seats->count;
}

/* What the bits stand for, if they are a token's; else without a script. */
static inline struct token read_bits(const struct seats *seats, uint64_t bits) {
  struct token token = {NULL, (enum token_kind)(bits >> SEAT_BITS & KIND_MASK)};
  if (!is_token(seats, bits)) return token;
  const struct seat *seat = &seats->all[bits % SEATS];
  if (seat->use == (bits >> USE_SHIFT) % USES) token.script = seat->script;
  return token;
}

static uint64_t bits_at(lua_State *L, int index) { return (uintptr_t)lua_touserdata(L, index); }

/* False where the value is something else. */
static bool token_test(lua_State *L, int index, struct token *token) {
  const struct seats *seats = &vm_of(L)->seats;
  uint64_t bits = bits_at(L, index);
  *token = read_bits(seats, bits);
  return is_token(seats, bits);
}

static __attribute__((cold)) void refuse_unusable(lua_State *L, int index) {
  struct token token;
  if (!token_test(L, index, &token)) token_refuse(L, index, "session");
  handle_raise(L, "%s used after its exchange ended", names[TOKEN_SESSION]);
}

struct token token_check(lua_State *L, int index) {
  struct token token = read_bits(&vm_of(L)->seats, bits_at(L, index));
  if (!token.script) refuse_unusable(L, index);
  return token;
}

struct script *token_check_kind(lua_State *L, int index, enum token_kind kind) {
  struct token token = token_check(L, index);
  if (token.kind != kind) token_refuse(L, index, names[kind]);
  return token.script;
}

struct script *token_look_kind(lua_State *L, int index, enum token_kind kind) {
  struct token token;
  if (!token_test(L, index, &token) || token.kind != kind) token_refuse(L, index, names[kind]);
  return token.script;
}

/* The name of the method that runs, which is one of token_methods; NULL: it is none. -0 +1 | -0 +0 */
static const char *running_method(lua_State *L) {
  lua_Debug at = {0};
  if (!lua_getstack(L, 0, &at)) return NULL;
  lua_getinfo(L, "f", &at);
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm_of(L)->token_methods);
  for (lua_pushnil(L); lua_next(L, -2); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING || !lua_rawequal(L, -1, -4)) continue;
    lua_pop(L, 1);
    return lua_tostring(L, -1);
  }
  lua_pop(L, 2);
  return NULL;
}

/* A method of one kind was called on another: whose it is. -0 +0 */
static void refuse_kind(lua_State *L, enum token_kind got, const char *wanted, const char *method) {
  const char *owner = wanted, *when = "";
  if (strcmp(wanted, "request") == 0 && got == TOKEN_SESSION)
    owner = "session:request()";
  else if (strcmp(wanted, "request") == 0)
    owner = "session"; /* which can be asked what a request can */
  else if (strcmp(wanted, "response") == 0)
    when = ", of the response that the filters of responses are given";
  if (strcmp(wanted, "response") == 0 && strcmp(method, "status") == 0)
    when = ", or session:response_status()";
  handle_raise(L, "a %s has no %s: use %s:%s%s", names[got], method, owner, method, when);
}

/* A wrong argument is most often `.` for `:`, which LuaJIT's own message would not say. */
int token_refuse(lua_State *L, int index, const char *wanted) {
  struct token token;
  bool is_token = token_test(L, index, &token);
  const char *method = is_token && index == 1 ? running_method(L) : NULL;
  if (method) refuse_kind(L, token.kind, wanted, method);
  return handle_raise(L, "perilune.%s expected as argument %d, got %s%s (methods are called with a colon)",
                      wanted, index, is_token ? "perilune." : "",
                      is_token ? names[token.kind] : luaL_typename(L, index));
}

/* --- their metatable ------------------------------------------------------------------------------------ */

/* "session GET /path", "request (ended)"; light userdata of others as usual. */
static int to_string(lua_State *L) {
  struct token token;
  if (!token_test(L, 1, &token)) {
    lua_pushfstring(L, "userdata: %p", lua_touserdata(L, 1));
  } else if (!token.script) {
    lua_pushfstring(L, "%s (ended)", names[token.kind]);
  } else {
    const struct request *request = &token.script->x->request;
    lua_pushfstring(L, "%s ", names[token.kind]);
    lua_pushlstring(L, request->method_name.ptr, request->method_name.len);
    lua_pushliteral(L, " ");
    lua_pushlstring(L, request->target.ptr, request->target.len);
    lua_concat(L, 4);
  }
  return 1;
}

/* session.user = 1 -3 +0 */
static int set_field(lua_State *L) {
  struct token token;
  const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "x";
  if (!token_test(L, 1, &token)) return luaL_error(L, "attempt to index a userdata value");
  if (token.kind == TOKEN_SESSION)
    return handle_raise(L, "a session keeps no fields: keep it in ctx (ctx.%s = ...)", name);
  return handle_raise(
      L, "a %s keeps no fields: set a header by %s:set_header(name, value), keep your own data in ctx",
      names[token.kind], names[token.kind]);
}

/* What other proxies and servers call it. */
static bool is_meant_to_answer(const char *name) {
  static const char *const words[] = {"abort", "answer", "close", "deny", "exit",     "finish", "json",
                                      "print", "reply",  "say",   "send", "redirect", "render", "write"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (strcmp(words[i], name) == 0) return true;
  return false;
}

/* What none of them has, of the table of methods that is 1: a name that is nil would fail with nothing said of it. -2
 * +0 */
static int refuse_name(lua_State *L) {
  const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : luaL_typename(L, 2);
  push_function(L, "perilune.kinds", "instead");
  lua_pushstring(L, name);
  lua_call(L, 1, 1);
  if (lua_isstring(L, -1))
    return handle_raise(L, "sessions, requests and responses have no '%s': %s", name, lua_tostring(L, -1));
  const char *near = handle_nearest_key(L, 1, name);
  if (near)
    return handle_raise(L, "sessions, requests and responses have no '%s': did you mean %s?", name, near);
  if (is_meant_to_answer(name))
    return handle_raise(
        L,
        "sessions have no '%s': to answer, write return session:respond { status = ..., headers = "
        "{...}, body = ... }",
        name);
  return handle_raise(L, "sessions, requests and responses have no '%s' (data of your own is kept in ctx)",
                      name);
}

/* The table of methods, with its own metatable. -0 +1 */
static void push_methods(lua_State *L) {
  lua_newtable(L);
  lua_newtable(L);
  lua_pushcfunction(L, refuse_name);
  lua_setfield(L, -2, "__index");
  lua_setmetatable(L, -2);
}

void open_token(lua_State *L) {
  lua_pushlightuserdata(L, (void *)(uintptr_t)MARK); /* LuaJIT lists the bits above 38: now it knows ours */
  lua_newtable(L);
  push_methods(L);
  lua_pushvalue(L, -1);
  vm_of(L)->token_methods = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_setfield(L, -2, "__index");
  lua_pushcfunction(L, to_string);
  lua_setfield(L, -2, "__tostring");
  lua_pushcfunction(L, set_field);
  lua_setfield(L, -2, "__newindex");
  lua_pushliteral(L, "perilune.token");
  lua_setfield(L, -2, "__metatable");
  lua_setmetatable(L, -2);
  lua_pop(L, 1);
}

void token_add_methods(lua_State *L, const luaL_Reg *methods) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm_of(L)->token_methods);
  luaL_register(L, NULL, methods);
  lua_pop(L, 1);
}

void token_add_waiting(lua_State *L, const char *name, lua_CFunction start, lua_CFunction finish) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, vm_of(L)->token_methods);
  handle_push_waiting(L, start, finish);
  lua_setfield(L, -2, name);
  lua_pop(L, 1);
}
