// SPDX-License-Identifier: Apache-2.0
// tls_facts: facts about an established session, for logs and policies.
#include <openssl/bn.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/memory.h"
#include "net/tls.h"
#include "net/tls_parts.h"

struct str tls_version(const struct conn *conn) {
  return str_of(conn->tls ? SSL_get_version(conn->tls->ssl) : NULL);
}
struct str tls_cipher(const struct conn *conn) {
  return str_of(conn->tls ? SSL_get_cipher_name(conn->tls->ssl) : NULL);
}
bool tls_is_resumed(const struct conn *conn) { return conn->tls && SSL_session_reused(conn->tls->ssl); }
bool tls_chose_http2(const struct conn *conn) {
  const unsigned char *chosen = NULL;
  unsigned length = 0;
  if (conn->tls) SSL_get0_alpn_selected(conn->tls->ssl, &chosen, &length);
  return length == 2 && memcmp(chosen, "h2", 2) == 0;
}
struct str tls_server_name(const struct conn *conn) {
  return str_of(conn->tls ? SSL_get_servername(conn->tls->ssl, TLSEXT_NAMETYPE_host_name) : NULL);
}

/* --- the client's certificate ---------------------------------------------------------------------------- */

/* RFC 4514, but with characters beyond ASCII as they are. */
static void describe_subject(X509_NAME *name, char *text, size_t bytes) {
  BIO *bio = BIO_new(BIO_s_mem());
  X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  int length = BIO_read(bio, text, (int)bytes - 1);
  text[length > 0 ? length : 0] = '\0';
  BIO_free(bio);
}

static void describe_serial(const X509 *certificate, char *text, size_t bytes) {
  BIGNUM *number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), NULL);
  char *digits = number ? BN_bn2hex(number) : NULL;
  snprintf(text, bytes, "%s", digits ? digits : "");
  OPENSSL_free(digits);
  BN_free(number);
}

bool tls_client_certificate(const struct conn *conn, struct tls_certificate *facts) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  X509 *certificate = conn->tls ? SSL_get0_peer_certificate(conn->tls->ssl) : NULL;
  if (!certificate) return false;
  describe_subject(X509_get_subject_name(certificate), facts->subject, sizeof facts->subject);
  describe_subject(X509_get_issuer_name(certificate), facts->issuer, sizeof facts->issuer);
  describe_serial(certificate, facts->serial, sizeof facts->serial);
  X509_digest(certificate, EVP_sha256(), digest, &length);
  for (unsigned i = 0; i < length; i++) snprintf(facts->fingerprint + 2 * i, 3, "%02x", digest[i]);
  return true;
}
