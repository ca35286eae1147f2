// SPDX-License-Identifier: Apache-2.0
// tls_key: public and private keys for uses other than TLS itself: signatures as JWS has them (RFC 7518, RFC 8037),
// accounts and certificate requests of ACME. A key is made once, never changed, and has one owner.
#ifndef PERILUNE_NET_TLS_KEY_H
#define PERILUNE_NET_TLS_KEY_H

#include <stdbool.h>

#include "base/str.h"

struct buf;
struct tls_key;

enum key_kind { KEY_P256, KEY_P384, KEY_P521, KEY_ED25519, KEY_RSA };
enum { KEY_KINDS = KEY_RSA + 1 };

/* With the names of the JWS registry. Each goes with one kind of key alone, so no token can choose another. */
enum key_algorithm {
  SIGN_RS256,
  SIGN_RS384,
  SIGN_RS512,
  SIGN_PS256,
  SIGN_PS384,
  SIGN_PS512,
  SIGN_ES256,
  SIGN_ES384,
  SIGN_ES512,
  SIGN_EDDSA
};
enum { KEY_ALGORITHMS = SIGN_EDDSA + 1 };
const char *key_algorithm_name(enum key_algorithm algorithm);
/* The kind of key that it takes. */
enum key_kind key_algorithm_kind(enum key_algorithm algorithm);

/* What a public key consists of, as a JWK has it: big-endian numbers (RSA), coordinates of full length (EC), or the key
 * itself (Ed25519, in x). */
struct key_parts {
  struct str n, e, x, y;
};

/* NULL: this OpenSSL refuses the kind. RSA has 2048 bits. */
struct tls_key *tls_key_generate(enum key_kind kind);
/* A private key, a public key, or that of a certificate or of a request for one, in PEM. NULL: *why is malloc'd. */
struct tls_key *tls_key_read(struct str pem, char **why);
/* A public key. NULL: the parts are none, with the reason. RSA has 2048 to 8192 bits: more would cost too much. */
struct tls_key *tls_key_of_parts(enum key_kind kind, const struct key_parts *parts, const char **why);
/* NULL is harmless. */
void tls_key_free(struct tls_key *key);

enum key_kind tls_key_kind(const struct tls_key *key);
bool tls_key_is_private(const struct tls_key *key);
/* The parts of its public half, in `room`. */
void tls_key_parts(const struct tls_key *key, struct buf *room, struct key_parts *parts);
/* PEM of its private half (PKCS #8), or of its public one. False: it has no private half. */
bool tls_key_write(const struct tls_key *key, bool is_private, struct buf *pem);

/* False: the key is of another kind, or has no private half. The signature is in the form of JWS. */
bool tls_key_sign(const struct tls_key *key, enum key_algorithm algorithm, struct str text,
                  struct buf *signature);
bool tls_key_verify(const struct tls_key *key, enum key_algorithm algorithm, struct str text,
                    struct str signature);

#endif
