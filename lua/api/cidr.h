// SPDX-License-Identifier: Apache-2.0
// cidr: sets of networks for options of other files.
#ifndef PERILUNE_LUA_CIDR_H
#define PERILUNE_LUA_CIDR_H

#include <lua.h>

struct cidr_set;

/* The set of the array at `index`, which lives as long as the VM. Raises what is wrong with it behind "option: ".
 * -0 +0 */
const struct cidr_set *networks_keep(lua_State *L, int index, const char *option);

#endif
