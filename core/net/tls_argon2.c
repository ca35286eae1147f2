// SPDX-License-Identifier: Apache-2.0
// tls_argon2: argon2 (RFC 9106) of password.h: by OpenSSL from 3.2 on, before that by libargon2 where the build has
// found it.
#include <openssl/opensslv.h>

#include "net/password.h"
#include "net/tls_crypto.h"

#if OPENSSL_VERSION_NUMBER >= 0x30200000L

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

bool password_argon2_digest(struct str password, const struct argon2_hash *hash, unsigned char *digest) {
  static const char *const names[] = {
      [ARGON2_OF_D] = "ARGON2D", [ARGON2_OF_I] = "ARGON2I", [ARGON2_OF_ID] = "ARGON2ID"};
  struct argon2_hash wanted = *hash;
  OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_PASSWORD,
                                                           (void *)(uintptr_t)password.ptr, password.len),
                         OSSL_PARAM_construct_octet_string(
                             OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)wanted.salt.ptr, wanted.salt.len),
                         OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_ITER, &wanted.passes),
                         OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_ARGON2_LANES, &wanted.lanes),
                         OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_ARGON2_MEMCOST, &wanted.memory_kib),
                         OSSL_PARAM_construct_uint32(OSSL_KDF_PARAM_ARGON2_VERSION, &wanted.version),
                         OSSL_PARAM_construct_end()};
  EVP_KDF *kdf = EVP_KDF_fetch(NULL, names[hash->kind], NULL);
  EVP_KDF_CTX *context = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
  bool fine = context && EVP_KDF_derive(context, digest, hash->digest.len, params) == 1;
  EVP_KDF_CTX_free(context);
  EVP_KDF_free(kdf);
  ERR_clear_error();
  return fine;
}

bool password_has_argon2(void) { return true; }

#elif defined WITH_LIBARGON2

#include <argon2.h>

bool password_argon2_digest(struct str password, const struct argon2_hash *hash, unsigned char *digest) {
  static const argon2_type types[] = {
      [ARGON2_OF_D] = Argon2_d, [ARGON2_OF_I] = Argon2_i, [ARGON2_OF_ID] = Argon2_id};
  return argon2_hash(hash->passes, hash->memory_kib, hash->lanes, password.ptr, password.len, hash->salt.ptr,
                     hash->salt.len, digest, hash->digest.len, NULL, 0, types[hash->kind],
                     hash->version) == ARGON2_OK;
}

bool password_has_argon2(void) { return true; }

#else

bool password_argon2_digest(struct str password, const struct argon2_hash *hash, unsigned char *digest) {
  (void)password, (void)hash, (void)digest;
  return false;
}

bool password_has_argon2(void) { return false; }

#endif

enum password_result password_argon2(struct str password, const struct argon2_hash *hash) {
  unsigned char digest[ARGON2_DIGEST_MOST];
  if (hash->digest.len > sizeof digest || password.len > PASSWORD_MOST) return PASSWORD_WRONG;
  if (!password_argon2_digest(password, hash, digest)) return PASSWORD_FAILED;
  bool is_right = crypto_equal((struct str){(const char *)digest, hash->digest.len}, hash->digest);
  return is_right ? PASSWORD_RIGHT : PASSWORD_WRONG;
}
