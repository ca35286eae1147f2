// SPDX-License-Identifier: Apache-2.0
// tls_crypto: OpenSSL's primitives. The digests are looked up once, because a lookup costs more than hashing a short
// text.
#include "net/tls_crypto.h"

#include <limits.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <pthread.h>

static const char *const names[DIGEST_COUNT] = {"MD5", "SHA1", "SHA256", "SHA384", "SHA512"};
static EVP_MD *digests[DIGEST_COUNT]; /* of the process; NULL: refused */
static pthread_once_t fetched = PTHREAD_ONCE_INIT;

static void fetch(void) {
  for (int i = 0; i < DIGEST_COUNT; i++) digests[i] = EVP_MD_fetch(NULL, names[i], NULL);
  ERR_clear_error();
}

static const EVP_MD *find(enum digest digest) {
  pthread_once(&fetched, fetch);
  return digests[digest];
}

size_t crypto_digest(enum digest digest, struct str text, unsigned char out[DIGEST_BYTES_MAX]) {
  const EVP_MD *md = find(digest);
  unsigned length = 0;
  if (!md || EVP_Digest(text.ptr, text.len, out, &length, md, NULL) != 1) return 0;
  return length;
}

size_t crypto_hmac(enum digest digest, struct str key, struct str text, unsigned char out[DIGEST_BYTES_MAX]) {
  const EVP_MD *md = find(digest);
  unsigned length = 0;
  if (!md || key.len > INT_MAX) return 0;
  const void *key_bytes = key.len ? key.ptr : ""; /* NULL would mean: the key of before */
  if (!HMAC(md, key_bytes, (int)key.len, (const unsigned char *)text.ptr, text.len, out, &length)) return 0;
  return length;
}

bool crypto_random(void *bytes, size_t count) {
  return count <= INT_MAX && RAND_bytes(bytes, (int)count) == 1;
}

bool crypto_equal(struct str a, struct str b) {
  return a.len == b.len && (a.len == 0 || CRYPTO_memcmp(a.ptr, b.ptr, a.len) == 0);
}
