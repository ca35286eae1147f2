// SPDX-License-Identifier: Apache-2.0
// listen_tls: what the options of perilune.listen, the table at index 3, say of TLS.
#ifndef PERILUNE_LUA_LISTEN_TLS_H
#define PERILUNE_LUA_LISTEN_TLS_H

#include <lua.h>

#include "base/str.h"

struct arena;
struct tls_files;
struct tls_server_options;

/* certificates, acme and alpn; `own` is what stands beside them. -0 +0 */
void listen_tls_take(lua_State *L, const struct tls_files *own, struct tls_server_options *tls,
                     struct arena *arena);
/* Raises for what does not go together. -0 +0 */
void listen_tls_check(lua_State *L, const struct tls_server_options *tls);
/* The first of its files that cannot be read, which need not stop other listeners; empty: none. -0 +0 */
struct str listen_tls_fault(const struct tls_server_options *tls, struct arena *arena);

#endif
