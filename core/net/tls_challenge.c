// SPDX-License-Identifier: Apache-2.0
// tls_challenge: the challenge tls-alpn-01 (RFC 8737): an authority connects with the one protocol acme-tls/1, is shown
// a certificate that proves the name, and the connection ends. The hard problem is the order of things in a handshake:
// the certificate is chosen before the protocol, so the offer is read from the hello itself.
#include "net/tls.h"
#include "net/tls_parts.h"

const char tls_challenge_protocol[] = "acme-tls/1";

/* The extension of a client that offers nothing else: the list's length, the name's length, the name. */
static const unsigned char offer[] = "\0\x0b\x0a"
                                     "acme-tls/1";

static int look_at_hello(SSL *ssl, int *alert, void *unused) {
  const unsigned char *found;
  size_t length;
  struct tls *tls = SSL_get_app_data(ssl);
  (void)alert, (void)unused;
  tls->is_challenge = SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation,
                                                &found, &length) == 1 &&
                      length == sizeof offer - 1 && memcmp(found, offer, length) == 0;
  return SSL_CLIENT_HELLO_SUCCESS;
}

void tls_challenge_accept(SSL_CTX *ssl) { SSL_CTX_set_client_hello_cb(ssl, look_at_hello, NULL); }

bool tls_is_challenge(const struct conn *conn) { return conn->tls && conn->tls->is_challenge; }
