// SPDX-License-Identifier: Apache-2.0
// key: keys as handles, for the nouns that use them.
#ifndef PERILUNE_LUA_KEY_H
#define PERILUNE_LUA_KEY_H

#include <lua.h>

#include "net/tls_key.h"

/* The key of the handle at `index`; raises where it is none. Borrowed from the handle. -0 +0 */
const struct tls_key *key_at(lua_State *L, int index);

#endif
