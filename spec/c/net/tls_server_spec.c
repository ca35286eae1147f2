// SPDX-License-Identifier: Apache-2.0
// Units for the server side of net/tls, with clients that are bare OpenSSL: what a listener accepts.
#include <openssl/ssl.h>
#include <unistd.h>

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

static enum io offer(const char *protocols, const char *expected, bool *chosen) {
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
  *chosen = length == strlen(expected) && (!length || memcmp(protocol, expected, length) == 0);
  SSL_free(ssl);
  SSL_CTX_free(context);
  pair_close(&pair);
  return io;
}

IT("chooses h2 or http/1.1 among the protocols that a client offers, and refuses a client without either") {
  bool chosen;
  CHECK(offer("\10http/1.1\2h2", "h2", &chosen) == IO_OK && chosen);
  CHECK(offer("\6spdy/3\10http/1.1", "http/1.1", &chosen) == IO_OK && chosen);
  CHECK(offer("\6spdy/3", "", &chosen) == IO_ERROR);
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

/* --- clients that are slow, or want more than there is --- */

/* Everything that the client has to say, a byte at a time. */
static enum io dribble(struct pair *pair, BIO *said) {
  enum io server = IO_AGAIN;
  char byte;
  while (server == IO_AGAIN && BIO_read(said, &byte, 1) == 1) {
    CHECK(write(pair->client.fd, &byte, 1) == 1);
    server = tls_handshake(&pair->server);
  }
  return server;
}

static void hear(struct pair *pair, BIO *heard) {
  char bytes[8192];
  ssize_t got;
  while ((got = read(pair->client.fd, bytes, sizeof bytes)) > 0) BIO_write(heard, bytes, (int)got);
}

IT("shakes hands with a client that sends each byte alone") {
  const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
  for (size_t i = 0; i < 2; i++) {
    struct pair pair;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(context, versions[i]);
    pair_open(&pair);
    pair_serve(&pair.server);
    SSL *ssl = SSL_new(context);
    BIO *heard = BIO_new(BIO_s_mem()), *said = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl, heard, said);
    SSL_set_connect_state(ssl);
    enum io server = IO_AGAIN;
    for (int turn = 0; turn < 5 && server == IO_AGAIN; turn++) {
      SSL_do_handshake(ssl);
      server = dribble(&pair, said);
      hear(&pair, heard);
    }
    CHECK(server == IO_OK && SSL_do_handshake(ssl) == 1);
    SSL_free(ssl);
    SSL_CTX_free(context);
    pair_close(&pair);
  }
}

static long early_data_allowed = -1;

static int look_at_ticket(SSL *ssl, SSL_SESSION *session) {
  (void)ssl;
  early_data_allowed = SSL_SESSION_get_max_early_data(session);
  return 0;
}

/* What is sent before the handshake could be sent again by anybody (RFC 8446 section 8). */
IT("allows no early data") {
  struct pair pair;
  char byte;
  SSL_CTX *context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, look_at_ticket);
  pair_open(&pair);
  pair_serve(&pair.server);
  SSL *ssl = foreign_client(&pair, context);
  CHECK(foreign_shake(&pair, ssl) == IO_OK);
  SSL_read(ssl, &byte, 1);
  CHECK(early_data_allowed == 0);
  SSL_free(ssl);
  SSL_CTX_free(context);
  pair_close(&pair);
}

IT("does not shake hands again on a connection, and goes on with the first handshake's keys") {
  struct pair pair;
  char text[8];
  size_t moved = 0;
  SSL_CTX *context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION);
  pair_open(&pair);
  pair_serve(&pair.server);
  SSL *ssl = foreign_client(&pair, context);
  CHECK(foreign_shake(&pair, ssl) == IO_OK);
  CHECK(SSL_renegotiate(ssl) == 1);
  SSL_do_handshake(ssl);
  CHECK(conn_read(&pair.server, text, sizeof text, &moved) == IO_AGAIN);
  CHECK(SSL_do_handshake(ssl) != 1);
  CHECK(pair_put(&pair.server, STR("still"), &moved) == IO_OK && moved == 5);
  SSL_free(ssl);
  SSL_CTX_free(context);
  pair_close(&pair);
}
