// SPDX-License-Identifier: Apache-2.0
// session: the handle of an exchange, and the check of what is allowed in which phase.
#ifndef PERILUNE_LUA_SESSION_H
#define PERILUNE_LUA_SESSION_H

#include <lua.h>
#include <stdbool.h>

struct exchange;

/* A set of phases, for session_phase. */
#define PHASE(hook) (1u << HOOK_##hook)
#define BODY_PHASES                                                                                          \
  (PHASE(request_body_filter) | PHASE(upstream_response_body_filter) | PHASE(response_body_filter) |         \
   PHASE(response_trailer_filter))

/* The exchange of the session at `index`; raises where it is none, or has ended. */
struct exchange *session_check(lua_State *L, int index);
/* Raises "<call> is not allowed in <phase>, only in <phases>" unless the hook that runs is in `phases`. */
void session_phase(lua_State *L, const struct exchange *x, unsigned phases, const char *call);
/* session:respond and session:reset -2 +1, and core.answer_fields -0 +1, in lua/api/answer.c. */
int session_respond(lua_State *L);
int session_reset(lua_State *L);
int session_answer_fields(lua_State *L);
int session_answer_instead(lua_State *L);
/* Gives the exchange the answer that the table at 2 describes; raises if it describes none, or comes too late. -0 +0,
 * in lua/api/answer.c. */
void session_answer(lua_State *L, struct exchange *x, bool is_streamed);
/* session:set_response_header -3 +0, in lua/api/answer_text.c. */
int session_set_response_header(lua_State *L);
/* session:read_body and set_body, in lua/api/request_body.c. */
int session_read_body(lua_State *L);
int session_body(lua_State *L);
int session_set_body(lua_State *L);

#endif
