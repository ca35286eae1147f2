// SPDX-License-Identifier: Apache-2.0
// password: see password.h. libcrypt takes C strings: a password with a NUL would be taken for the part before it, and
// one that is longer than libcrypt takes fits no hash.
#include "net/password.h"

#include <crypt.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

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
