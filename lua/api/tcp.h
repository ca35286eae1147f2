// SPDX-License-Identifier: Apache-2.0
// tcp: shared by the files of perilune.tcp.
#ifndef PERILUNE_LUA_TCP_H
#define PERILUNE_LUA_TCP_H

#include "lua/api/socket.h"

/* How a socket is to speak TLS. */
struct tls_wanted {
  struct str sni, verify_name, ca, certificate, key; /* files, or for the last two PEM text */
  unsigned timeout_ms;                               /* 0: that of a receive */
  bool no_verify, http1, http2;
};

/* Gives the socket what TLS needs: a context, and who we are. False: what is wrong is on the stack. -0 +0 | -0 +1 */
bool tcp_take_tls(lua_State *L, struct socket *s, const struct tls_wanted *wanted);

/* Their methods. -0 +0 */
void tcp_add_receive(lua_State *L);
void tcp_add_tls(lua_State *L);

#endif
