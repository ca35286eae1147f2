// SPDX-License-Identifier: Apache-2.0
// tls_request: what ACME (RFC 8555) makes of keys and reads of certificates: requests for a certificate, certificates
// that are signed here, and the facts of one.
#ifndef PERILUNE_NET_TLS_REQUEST_H
#define PERILUNE_NET_TLS_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "net/tls_key.h"

/* Names of a certificate (DNS), in an array. */
struct tls_request_names {
  const struct str *names; /* borrowed */
  unsigned count;
};

/* A request for a certificate (PKCS #10, DER) for these names. False: OpenSSL refuses. */
bool tls_request_write(const struct tls_key *key, struct tls_request_names names, struct buf *der);

/* A certificate to sign. */
struct tls_signed {
  const struct tls_key *subject; /* whose it is */
  const struct tls_key *signer;  /* a private key; the subject's own makes it self-signed */
  struct tls_request_names names;
  int64_t not_before, not_after; /* seconds since 1970 */
  struct str acme;               /* 32 bytes of acmeIdentifier (RFC 8737 section 3); empty: none */
};
/* As PEM. False: OpenSSL refuses. */
bool tls_request_sign(const struct tls_signed *wanted, struct buf *pem);

struct tls_certificate_facts {
  int64_t not_before, not_after;
  char serial[64],
      authority[64]; /* hexadecimal: DER of the number; the authority's key identifier, may be empty */
  char subject[256], issuer[256];
  unsigned count; /* of certificates in the text */
};
/* Of the first certificate of a PEM text; its names, each with a newline behind it, are appended to `names`. False:
 * *why is malloc'd. */
bool tls_request_facts(struct str pem, struct tls_certificate_facts *facts, struct buf *names, char **why);

#endif
