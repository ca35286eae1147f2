// SPDX-License-Identifier: Apache-2.0
// connection: Lua's data of a client's connection: the table of session:connection_ctx().
#ifndef PERILUNE_LUA_CONNECTION_H
#define PERILUNE_LUA_CONNECTION_H

struct downstream;
struct lua_connection;
struct vm;

/* The one of a connection, so that an exchange keeps it when its client goes away; NULL where there is none
 * (yet), which release takes too. */
struct lua_connection *connection_hold(struct vm *vm, struct downstream *downstream);
void connection_release(struct lua_connection *connection);
/* The vm ends, the client's connections do not. */
void connections_free(struct vm *vm);

#endif
