// SPDX-License-Identifier: Apache-2.0
// tls_crypto: digests, HMAC, random bytes and comparison in constant time, for uses other than TLS.
#ifndef PERILUNE_NET_TLS_CRYPTO_H
#define PERILUNE_NET_TLS_CRYPTO_H

#include "base/str.h"

struct buf;

enum digest { DIGEST_MD5, DIGEST_SHA1, DIGEST_SHA256, DIGEST_SHA384, DIGEST_SHA512 };
enum { DIGEST_COUNT = DIGEST_SHA512 + 1, DIGEST_BYTES_MAX = 64 };

/* How many bytes were written; 0: this OpenSSL refuses the digest (MD5 under FIPS). */
size_t crypto_digest(enum digest digest, struct str text, unsigned char out[DIGEST_BYTES_MAX]);
size_t crypto_hmac(enum digest digest, struct str key, struct str text, unsigned char out[DIGEST_BYTES_MAX]);
/* From the generator that makes keys. False: it has failed, and the bytes must not be used. */
bool crypto_random(void *bytes, size_t count);
/* The time that it takes depends on the lengths only. */
bool crypto_equal(struct str a, struct str b);

/* AES-256-GCM: a nonce of its own (random), the text encrypted, and a tag over it and `with`, which is not sent along.
 * False: OpenSSL refuses. A key is good for 2^32 texts. */
enum { SEAL_KEY = 32, SEAL_EXTRA = 12 + 16 };
bool crypto_seal(const unsigned char key[SEAL_KEY], struct str text, struct str with, struct buf *sealed);
/* False: it was not sealed by this key with `with`, or has been changed; nothing is appended. */
bool crypto_unseal(const unsigned char key[SEAL_KEY], struct str sealed, struct str with, struct buf *text);

#endif
