// SPDX-License-Identifier: Apache-2.0
// tls: TLS on a conn (OpenSSL, non-blocking). tls_client and tls_server put a session on a plain conn; the
// owner then calls tls_handshake until it is done, and reads and writes as before.
//
// IO_EOF means that the other side has sent close_notify. A FIN without it is IO_ERROR, because somebody on the
// way may have cut off the data (RFC 8446 section 6.1), and a response that ends with its connection must not
// look complete then. For the same reason conn_close sends no close_notify; conn_shutdown does. After a write
// returned IO_AGAIN, the owner must call it again with data that begins with the same bytes, because their
// record exists already.
#ifndef PERILUNE_NET_TLS_H
#define PERILUNE_NET_TLS_H

#include "net/conn.h"
#include "net/tls_context.h"

struct tls_identity;

/* What one peer has given us to resume the last session with. A resumed session's certificate is not looked
 * at again: so it is used for nobody but the peer that gave it, under the same options. Zeroed: nothing. */
struct tls_resumption {
  struct ssl_session_st *newest; /* owned */
};
void tls_resumption_clear(struct tls_resumption *resumption);

/* `sni` may be empty: no SNI is sent; nor is it for IP addresses (RFC 6066 section 3). `verify_name` is what
 * the certificate must be for: a host name or an IP address; with a context that verifies, the handshake
 * fails where it is empty. Both are copied. `resumption` is borrowed as long as the connection lives; NULL:
 * every session is a new one. Of the context nothing is kept but what OpenSSL holds itself. */
void tls_client(struct conn *conn, struct tls_context *context, struct str sni, struct str verify_name,
                struct tls_resumption *resumption);
/* Before the handshake: who we are, for a server that asks. Takes what it needs. */
void tls_use_identity(struct conn *conn, struct tls_identity *identity);
/* Where the sessions go that the peer gives from now on; borrowed likewise. NULL: nowhere. */
void tls_keep_sessions(struct conn *conn, struct tls_resumption *resumption);
void tls_server(struct conn *conn, struct tls_context *context);

/* Of a context that asks: the handshake waits for the certificate for tls_server_name. Its owner says
 * tls_provide or tls_refuse, then tls_handshake again. */
bool tls_wants_certificate(const struct conn *conn);
/* NULL: the listener's own, if it has any. Kept for the name for `ttl_s` seconds, unless 0. Takes a reference of its
 * own. */
void tls_provide(struct conn *conn, struct tls_identity *identity, unsigned ttl_s);
void tls_refuse(struct conn *conn);

/* IO_OK: done. IO_AGAIN: call again from on_readable or on_writable; the needed watcher is on. IO_ERROR: see
 * tls_failure. After IO_OK and IO_ERROR both watchers are off. */
enum io tls_handshake(struct conn *conn);
/* After IO_ERROR of a handshake: what came instead was an HTTP request in the clear. */
bool tls_met_http(const struct conn *conn);
/* After IO_ERROR of a handshake: the conn is a plain one again. */
void tls_take_off(struct conn *conn);
/* After IO_ERROR of a handshake: the certificate is to blame, not the connection. */
bool tls_failed_verification(const struct conn *conn);
/* The client only wanted to see that a name is ours (RFC 8737): there is nothing to say over this connection. */
bool tls_is_challenge(const struct conn *conn);
/* A sentence on the last failure of this connection: OpenSSL's reason, or the verification error.
 * Thread-local text. */
const char *tls_failure(const struct conn *conn);
/* Facts of an established session; static or session memory. Empty where there is none. */
struct str tls_version(const struct conn *conn);
struct str tls_cipher(const struct conn *conn);
/* A certificate that was verified. */
struct tls_certificate {
  char subject[512], issuer[512]; /* "CN=alice,O=Example"; cut if longer */
  char serial[64];                /* hexadecimal, upper case */
  char fingerprint[65];           /* SHA-256 of the certificate, hexadecimal, lower case */
};
/* What the client has shown (server side); false: nothing. */
bool tls_client_certificate(const struct conn *conn, struct tls_certificate *facts);
bool tls_is_resumed(const struct conn *conn);
/* ALPN has chosen h2. */
bool tls_chose_http2(const struct conn *conn);
struct str tls_server_name(const struct conn *conn); /* SNI that the client sent (server side) */

#endif
