// SPDX-License-Identifier: Apache-2.0
// tls_sign: signatures by Ed25519 (RFC 8032), with keys in PEM as `openssl genpkey -algorithm ed25519` makes them.
#ifndef PERILUNE_NET_TLS_SIGN_H
#define PERILUNE_NET_TLS_SIGN_H

#include "base/str.h"

enum { SIGNATURE_BYTES = 64 };

/* By the private key in the file. False: *why is a malloc'd message. */
bool sign_text(const char *key_file, struct str text, unsigned char signature[SIGNATURE_BYTES], char **why);
/* Is there a public key in the file? False: *why is a malloc'd message. */
bool sign_has_keys(const char *keys_file, char **why);
/* Has one of the public keys in the file made the signature? False: *why is a malloc'd message. */
bool sign_is_by(const char *keys_file, struct str text, struct str signature, char **why);

#endif
