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

#include "base/buf.h"
#include "base/random.h"

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
  if (random_repeats()) return random_fill(bytes, count, 0);
  return count <= INT_MAX && RAND_bytes(bytes, (int)count) == 1;
}

bool crypto_equal(struct str a, struct str b) {
  return a.len == b.len && (a.len == 0 || CRYPTO_memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* --- sealing -------------------------------------------------------------------------------------------- */

enum { NONCE = 12, TAG = 16 };

bool crypto_seal(const unsigned char key[SEAL_KEY], struct str text, struct str with, struct buf *sealed) {
  unsigned char nonce[NONCE];
  int length = 0, last = 0;
  if (text.len > INT_MAX - SEAL_EXTRA || with.len > INT_MAX || !crypto_random(nonce, NONCE)) return false;
  buf_reserve(sealed, text.len + SEAL_EXTRA);
  unsigned char *out = (unsigned char *)buf_tail(sealed);
  memcpy(out, nonce, NONCE);
  EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
  bool ok =
      EVP_EncryptInit_ex(cipher, EVP_aes_256_gcm(), NULL, key, nonce) == 1 &&
      EVP_EncryptUpdate(cipher, NULL, &length, (const unsigned char *)with.ptr, (int)with.len) == 1 &&
      EVP_EncryptUpdate(cipher, out + NONCE, &length, (const unsigned char *)text.ptr, (int)text.len) == 1 &&
      EVP_EncryptFinal_ex(cipher, out + NONCE + length, &last) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_GET_TAG, TAG, out + NONCE + text.len) == 1;
  EVP_CIPHER_CTX_free(cipher);
  if (ok) buf_commit(sealed, text.len + SEAL_EXTRA);
  ERR_clear_error();
  return ok;
}

bool crypto_unseal(const unsigned char key[SEAL_KEY], struct str sealed, struct str with, struct buf *text) {
  int length = 0, last = 0;
  if (sealed.len < SEAL_EXTRA || sealed.len > INT_MAX || with.len > INT_MAX) return false;
  size_t bytes = sealed.len - SEAL_EXTRA;
  const unsigned char *in = (const unsigned char *)sealed.ptr;
  buf_reserve(text, bytes + 1);
  unsigned char *out = (unsigned char *)buf_tail(text);
  EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
  bool ok = EVP_DecryptInit_ex(cipher, EVP_aes_256_gcm(), NULL, key, in) == 1 &&
            EVP_DecryptUpdate(cipher, NULL, &length, (const unsigned char *)with.ptr, (int)with.len) == 1 &&
            EVP_DecryptUpdate(cipher, out, &length, in + NONCE, (int)bytes) == 1 &&
            EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_GCM_SET_TAG, TAG, (void *)(in + NONCE + bytes)) == 1 &&
            EVP_DecryptFinal_ex(cipher, out + length, &last) == 1;
  EVP_CIPHER_CTX_free(cipher);
  if (ok)
    buf_commit(text, bytes);
  else
    OPENSSL_cleanse(out, bytes);
  ERR_clear_error();
  return ok;
}
