// SPDX-License-Identifier: Apache-2.0
// ctx: the table that an exchange's hooks share. Empty tables are made in batches, so that a hook can get
// one without an allocation, which could raise an error.
#ifndef PERILUNE_LUA_CTX_H
#define PERILUNE_LUA_CTX_H

#include <lua.h>
#include <stdbool.h>

struct script;

/* Does ctx_push need no memory? */
bool ctx_is_ready(const struct script *script);
/* The same table each time. -0 +1, may raise unless it is ready */
void ctx_push(lua_State *L, struct script *script);
/* Lets go of it, if there is one. */
void ctx_drop(struct script *script);

#endif
