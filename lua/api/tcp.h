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

/* Sends the value at 2, on a socket on which nobody else sends: s->writing.bytes says how many bytes these are. With
 * takes_all, other values than strings, numbers and arrays are sent as tostring makes them. -0 +0 (yields) */
int tcp_start_send(lua_State *L, struct socket *s, const char *call, bool takes_all);
/* What comes of that: nil and a sentence, and how many results these are; or 0: all of it went. -0 +2 | -0 +0 */
int tcp_send_failure(lua_State *L, struct socket *s, const char *call);
/* Receives as socket:receive does, on a socket on which nobody else receives; `count` is for TCP_COUNT.
 * -0 +0 (yields) */
enum tcp_what { TCP_LINE, TCP_ALL, TCP_ANY, TCP_COUNT };
int tcp_start_receive(lua_State *L, struct socket *s, enum tcp_what what, size_t count);
/* The bytes; or nil, a sentence, and what there is of them: of the socket that is argument 1 -0 +1 | -0 +3 */
int tcp_received(lua_State *L);

/* Into the pool, where at most `most` of its key are. NULL; or why it was closed instead. */
const char *tcp_keep(struct socket_handle *handle, unsigned idle_ms, unsigned most);

/* Their methods. -0 +0 */
void tcp_add_receive(lua_State *L);
void tcp_add_tls(lua_State *L);

#endif
