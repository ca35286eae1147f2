// SPDX-License-Identifier: Apache-2.0
// password: see password.h. libcrypt takes C strings: a password with a NUL would be taken for the part before it, and
// one that is longer than libcrypt takes fits no hash.
#include "net/password.h"

#include <crypt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/check.h"
#include "base/memory.h"
#include "net/tls_crypto.h"

/* What crypt_r works in has a copy of the password. */
struct work {
  char password[PASSWORD_MOST + 1];
  struct crypt_data data;
};

enum password_result password_crypt(struct str password, const char *hash) {
  if (password.len > PASSWORD_MOST || memchr(password.ptr, '\0', password.len)) return PASSWORD_WRONG;
  struct work *work = memory_zalloc(sizeof *work);
  memcpy(work->password, password.ptr, password.len);
  const char *made = crypt_r(work->password, hash, &work->data);
  enum password_result result = PASSWORD_FAILED;
  if (made && made[0] != '*')
    result = crypto_equal(str_of(made), str_of(hash)) ? PASSWORD_RIGHT : PASSWORD_WRONG;
  explicit_bzero(work, sizeof *work);
  free(work);
  return result;
}

bool password_crypt_knows(const char *hash) {
  int said = crypt_checksalt(hash);
  return said == CRYPT_SALT_OK || said == CRYPT_SALT_METHOD_LEGACY || said == CRYPT_SALT_TOO_CHEAP;
}

/* --- making ----------------------------------------------------------------------------------------------- */

/* What OWASP names for argon2id. */
enum { SALT_BYTES = 16, DIGEST_BYTES = 32, ARGON2_KIB = 19456, ARGON2_PASSES = 2, BCRYPT_COST = 10 };

static bool make_argon2id(struct str password, char hash[PASSWORD_HASH_BYTES]) {
  char salt[SALT_BYTES], digest[DIGEST_BYTES], salt_text[64], digest_text[64];
  struct argon2_hash wanted = {.kind = ARGON2_OF_ID,
                               .version = 0x13,
                               .memory_kib = ARGON2_KIB,
                               .passes = ARGON2_PASSES,
                               .lanes = 1,
                               .salt = {salt, sizeof salt},
                               .digest = {digest, sizeof digest}};
  if (!crypto_random(salt, sizeof salt)) return false;
  if (!password_argon2_digest(password, &wanted, (unsigned char *)digest)) return false;
  size_t salt_length = base64_encode(salt_text, wanted.salt, base64_plain, false);
  size_t length = base64_encode(digest_text, wanted.digest, base64_plain, false);
  snprintf(hash, PASSWORD_HASH_BYTES, "$argon2id$v=19$m=%d,t=%d,p=1$%.*s$%.*s", ARGON2_KIB, ARGON2_PASSES,
           (int)salt_length, salt_text, (int)length, digest_text);
  return true;
}

static bool make_crypt(const char *prefix, unsigned long cost, struct str password,
                       char hash[PASSWORD_HASH_BYTES]) {
  char setting[CRYPT_GENSALT_OUTPUT_SIZE];
  if (!crypt_gensalt_rn(prefix, cost, NULL, 0, setting, sizeof setting)) return false;
  struct work *work = memory_zalloc(sizeof *work);
  memcpy(work->password, password.ptr, password.len);
  const char *made = crypt_r(work->password, setting, &work->data);
  bool fine = made && made[0] != '*';
  if (fine) snprintf(hash, PASSWORD_HASH_BYTES, "%s", made);
  explicit_bzero(work, sizeof *work);
  free(work);
  return fine;
}

bool password_make(enum password_method method, struct str password, char hash[PASSWORD_HASH_BYTES]) {
  CHECK(password.len <= PASSWORD_MOST);
  switch (method) {
  case PASSWORD_YESCRYPT: return make_crypt("$y$", 0, password, hash);
  case PASSWORD_BCRYPT: return make_crypt("$2y$", BCRYPT_COST, password, hash);
  case PASSWORD_ARGON2ID: break;
  }
  return make_argon2id(password, hash);
}

/* --- tags ------------------------------------------------------------------------------------------------- */

static unsigned char secret[PASSWORD_TAG];
static bool has_secret;
static pthread_once_t secret_once = PTHREAD_ONCE_INIT;

static void make_secret(void) { has_secret = crypto_random(secret, sizeof secret); }

bool password_tag(struct str text, unsigned char out[PASSWORD_TAG]) {
  unsigned char whole[DIGEST_BYTES_MAX];
  pthread_once(&secret_once, make_secret);
  struct str key = {(const char *)secret, sizeof secret};
  if (!has_secret || crypto_hmac(DIGEST_SHA256, key, text, whole) != PASSWORD_TAG) return false;
  memcpy(out, whole, PASSWORD_TAG);
  return true;
}
