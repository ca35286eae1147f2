// SPDX-License-Identifier: Apache-2.0
// gather: texts that a policy gives one by one, or as an array, are put behind one another in memory that Lua's
// allocator does not see. An array can hold the same text, or the same array, any number of times: so what it makes,
// and the time that this takes, are bounded by the policy's memory_limit.
#ifndef PERILUNE_LUA_GATHER_H
#define PERILUNE_LUA_GATHER_H

#include <lua.h>

#include "base/buf.h"

#define GATHER_TOO_LONG "longer than the policy's memory_limit"

struct gather {
  struct buf *out;  /* borrowed */
  size_t left;      /* bytes */
  size_t part_cost; /* what each part costs beside its bytes */
  bool takes_all;   /* other values are as tostring makes them */
};

/* Behind what is in `out`, which does not count. -0 +0 */
struct gather gather_begin(lua_State *L, struct buf *out);
/* False: it would be too long (GATHER_TOO_LONG), and `out` is empty. */
bool gather_text(struct gather *g, struct str text);
/* A string, a number, or an array of them, however deep. Raises for any other value, in the name of the call, unless
 * takes_all is set. -0 +0 */
bool gather_value(lua_State *L, int index, struct gather *g, const char *call);

#endif
