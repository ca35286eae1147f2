// SPDX-License-Identifier: Apache-2.0
// failure: the error object of hooks: methods kind, side, text, status, retryable, and the field `retry`,
// which hooks may set.
#ifndef PERILUNE_LUA_FAILURE_H
#define PERILUNE_LUA_FAILURE_H

#include <lua.h>

#include "base/error.h"

struct script;

/* A handle for `error` of the exchange; nil for ERROR_NONE. -0 +1, may raise unless it is that */
void failure_push(lua_State *L, const struct script *script, enum error error);

#endif
