// SPDX-License-Identifier: Apache-2.0
// peer: what upstream_peer returns becomes a peer of the proxy, and peers are shown to hooks.
#ifndef PERILUNE_LUA_PEER_H
#define PERILUNE_LUA_PEER_H

#include <lua.h>

struct peer;
struct task;

/* A table with address, tls, sni and group; nil for NULL. -0 +1, may raise unless it is NULL */
void peer_push(lua_State *L, const struct peer *peer);
/* The first result of an ended upstream_peer into its exchange's outcome: the peer, or the error, which is
 * logged. */
void peer_take(struct task *task);

#endif
