// SPDX-License-Identifier: Apache-2.0
// token: what a policy holds for an exchange and its messages: `session`, `request`, `response`, `trailers`.
// A token is a light userdata, that is a number: the exchange's seat in a list of the vm, which part of
// the exchange is meant, and how often the seat was taken. So it costs nothing to make, to keep and to collect, and
// using it raises an error when its exchange has left the seat.
#ifndef PERILUNE_LUA_TOKEN_H
#define PERILUNE_LUA_TOKEN_H

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>

struct script;
struct seats;

enum token_kind { TOKEN_SESSION, TOKEN_REQUEST, TOKEN_UPSTREAM_REQUEST, TOKEN_RESPONSE, TOKEN_TRAILERS };

/* What a token stands for. */
struct token {
  struct script *script; /* NULL: it has ended */
  enum token_kind kind;
};

/* Gives the script its seat. False: there are too many exchanges. */
bool seat_take(struct seats *seats, struct script *script);
/* Ends all of its tokens. */
void seat_leave(struct seats *seats, const struct script *script);

/* Cannot raise, for a script that has a seat. -0 +1 */
void token_push(lua_State *L, const struct script *script, enum token_kind kind);
/* Raises where the value is something else or has ended. */
struct token token_check(lua_State *L, int index);
/* The same for one kind, for which it is called `name` in messages. */
struct script *token_check_kind(lua_State *L, int index, enum token_kind kind);
/* The same; NULL where it has ended. */
struct script *token_look_kind(lua_State *L, int index, enum token_kind kind);
/* Raises: the call is not one of this kind of token. */
int token_refuse(lua_State *L, int index, const char *wanted);

/* All kinds have one metatable, as light userdata must, so a method looks at the kind. -0 +0 */
void token_add_methods(lua_State *L, const luaL_Reg *methods);
/* Like handle_add_waiting. -0 +0 */
void token_add_waiting(lua_State *L, const char *name, lua_CFunction start, lua_CFunction finish);

#endif
