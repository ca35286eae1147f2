// SPDX-License-Identifier: Apache-2.0
// backends: what the files of backend sets share: backends.c (the set), choose.c (the choice and the lease).
#ifndef PERILUNE_LUA_BACKENDS_H
#define PERILUNE_LUA_BACKENDS_H

#include "lua/api/shared.h"
#include "shared/backends.h"

struct script;

struct backends_handle {
  struct shared shared;
  struct backends_view *view; /* reference; NULL while the handle is made */
  uint64_t texts_version;     /* of the view, when the addresses in the handle's environment were made */
};

/* The set at argument 1, with the list in force. -0 +0 */
struct backends_handle *backends_check(lua_State *L);
/* The address at a position of the list of argument 1, as a Lua string that is made once. Below it is the table
 * that keeps it. -0 +2 */
void backends_push_address(lua_State *L, struct backends_handle *handle, unsigned index);

/* choose.c: adds them to the module, which is on top, as its `choices`. -0 +0 */
void backends_add_choices(lua_State *L);
/* The attempt goes to this address: if the exchange's hooks have chosen it from a set, it is leased there. */
void backends_lease(struct script *script, struct str address);

#endif
