// SPDX-License-Identifier: Apache-2.0
// socket_options: what a policy says of a connection of its own, and what follows from it.
#ifndef PERILUNE_LUA_SOCKET_OPTIONS_H
#define PERILUNE_LUA_SOCKET_OPTIONS_H

#include <lua.h>
#include <stdbool.h>

#include "base/arena.h"
#include "net/resolver.h"

/* Text is borrowed from the table, files are in the arena. */
struct socket_options {
  struct str sni, verify_name, ca, certificate, key, pool, pool_key;
  unsigned timeout_ms, connect_ms, send_ms, receive_ms;
  unsigned pool_size, backlog;
  enum resolver_family family;
  bool tls, no_verify, fresh, one_way, http1, http2;
};

/* From the table at `index`. False: pushes a message that names the option. -0 +0 | -0 +1 */
bool socket_options_read(lua_State *L, int index, struct socket_options *into, struct arena *arena);
/* Everything in which connections differ, or what the policy says: equal for those that can stand for each other. */
struct str socket_options_key(struct arena *arena, struct str address, const struct socket_options *o);
/* Of a connection with TLS: a reference. NULL: *why is a malloc'd message. */
struct tls_context *socket_options_context(const struct socket_options *o, char **why);

/* core.tcp_check_ca(name): what is wrong with the file of trusted CAs, a path; nil: nothing. -1 +1 */
int socket_options_check_ca(lua_State *L);
/* core.tcp_fault(table): what is wrong with options of tcp.connect, of which there may be more; nil: nothing. For
 * `perilune check`. -1 +1 */
int socket_options_fault(lua_State *L);

#endif
