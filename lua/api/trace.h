// SPDX-License-Identifier: Apache-2.0
// trace: what the files of tracing share with each other and with the loader of policies.
#ifndef PERILUNE_LUA_TRACE_H
#define PERILUNE_LUA_TRACE_H

#include <lua.h>

#include "exchange/trace.h"

struct policy;

/* A string, number or boolean at `index` as an AnyValue of OTLP, in room of SPAN_ANY_BYTES; empty for nil. A longer
 * text is cut, and made UTF-8. Raises where it is something else. -0 +0 */
struct str trace_any_at(lua_State *L, int index, char room[SPAN_ANY_BYTES]);
/* The name of an attribute at `index`. -0 +0 */
struct str trace_key_at(lua_State *L, int index);
/* The policy has loaded: what it said of tracing holds for all of its listeners. */
void tracing_apply(struct policy *policy);

#endif
