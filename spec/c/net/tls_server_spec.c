// SPDX-License-Identifier: Apache-2.0
// Units for the server side of net/tls, with clients that are bare OpenSSL: what a listener accepts.
#include <openssl/ssl.h>

#include "tls_pair.h"
#include "unit.h"

static SSL *foreign_client(struct pair *pair, SSL_CTX *context) {
  SSL *ssl = SSL_new(context);
  SSL_set_fd(ssl, pair->client.fd);
  SSL_set_connect_state(ssl);
  return ssl;
}

static enum io foreign_shake(struct pair *pair, SSL *ssl) {
  enum io server = IO_AGAIN;
  for (int i = 0; i < 10; i++) {
    SSL_do_handshake(ssl);
    if (server == IO_AGAIN) server = tls_handshake(&pair->server);
  }
  return server;
}

static enum io offer(const char *protocols, bool *chosen) {
  struct pair pair;
  const unsigned char *protocol;
  unsigned length;
  SSL_CTX *context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_alpn_protos(context, (const unsigned char *)protocols, (unsigned)strlen(protocols));
  pair_open(&pair);
  pair_serve(&pair.server);
  SSL *ssl = foreign_client(&pair, context);
  enum io io = foreign_shake(&pair, ssl);
  SSL_get0_alpn_selected(ssl, &protocol, &length);
  *chosen = length == 8 && memcmp(protocol, "http/1.1", 8) == 0;
  SSL_free(ssl);
  SSL_CTX_free(context);
  pair_close(&pair);
  return io;
}

IT("chooses http/1.1 among the protocols that a client offers, and refuses a client without it") {
  bool chosen;
  CHECK(offer("\2h2\10http/1.1", &chosen) == IO_OK && chosen);
  CHECK(offer("\2h2", &chosen) == IO_ERROR);
}

static enum io shake_with(int version, const char *ciphers) {
  struct pair pair;
  SSL_CTX *context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_security_level(context, 0);
  SSL_CTX_set_min_proto_version(context, version);
  SSL_CTX_set_max_proto_version(context, version);
  CHECK(SSL_CTX_set_cipher_list(context, ciphers) == 1);
  pair_open(&pair);
  pair_serve(&pair.server);
  SSL *ssl = foreign_client(&pair, context);
  enum io io = foreign_shake(&pair, ssl);
  SSL_free(ssl);
  SSL_CTX_free(context);
  pair_close(&pair);
  return io;
}

IT("speaks TLS 1.2 with forward secrecy and AEAD, and nothing older or weaker") {
  CHECK(shake_with(TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256") == IO_OK);
  CHECK(shake_with(TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA") == IO_ERROR);
  CHECK(shake_with(TLS1_1_VERSION, "ALL:@SECLEVEL=0") == IO_ERROR);
}
