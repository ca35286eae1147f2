// SPDX-License-Identifier: Apache-2.0
// tls_sign: one call of OpenSSL for a text. The files are read each time, so that a key can be replaced.
#include "net/tls_sign.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/buf.h"
#include "base/safe_file.h"
#include "base/why.h"

static BIO *open_file(const char *path, struct buf *text, char **why) {
  if (!safe_read(path, SAFE_READ_MOST, text)) {
    why_say(why, "%s: %s", path, safe_reason(errno));
    return NULL;
  }
  return BIO_new_mem_buf(buf_len(text) ? buf_ptr(text) : "", (int)buf_len(text));
}

/* Nobody is asked for a pass phrase. */
static int no_phrase(char *to, int size, int is_write, void *context) {
  (void)to, (void)size, (void)is_write, (void)context;
  return -1;
}

static bool make(EVP_PKEY *key, struct str text, unsigned char signature[SIGNATURE_BYTES]) {
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  size_t length = SIGNATURE_BYTES;
  bool ok = EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
            EVP_DigestSign(context, signature, &length, (const unsigned char *)text.ptr, text.len) == 1;
  EVP_MD_CTX_free(context);
  return ok && length == SIGNATURE_BYTES;
}

bool sign_text(const char *key_file, struct str text, unsigned char signature[SIGNATURE_BYTES], char **why) {
  struct buf pem = {0};
  BIO *file = open_file(key_file, &pem, why);
  if (!file) return false;
  EVP_PKEY *key = PEM_read_bio_PrivateKey(file, NULL, no_phrase, NULL);
  bool is_fit = key && EVP_PKEY_is_a(key, "ED25519");
  bool ok = is_fit && make(key, text, signature);
  if (!ok)
    why_say(why,
            "%s: expected a private key of Ed25519 in PEM, as `openssl genpkey -algorithm ed25519` makes it",
            key_file);
  EVP_PKEY_free(key);
  BIO_free(file);
  buf_release(&pem);
  ERR_clear_error();
  return ok;
}

static bool is_by(EVP_PKEY *key, struct str text, struct str signature) {
  EVP_MD_CTX *context = EVP_MD_CTX_new();
  bool ok = EVP_PKEY_is_a(key, "ED25519") && EVP_DigestVerifyInit(context, NULL, NULL, NULL, key) == 1 &&
            EVP_DigestVerify(context, (const unsigned char *)signature.ptr, signature.len,
                             (const unsigned char *)text.ptr, text.len) == 1;
  EVP_MD_CTX_free(context);
  return ok;
}

bool sign_is_by(const char *keys_file, struct str text, struct str signature, char **why) {
  struct buf pem = {0};
  BIO *file = open_file(keys_file, &pem, why);
  if (!file) return false;
  EVP_PKEY *key;
  unsigned count = 0;
  bool found = false;
  while (!found && (key = PEM_read_bio_PUBKEY(file, NULL, no_phrase, NULL))) {
    count += EVP_PKEY_is_a(key, "ED25519");
    found = signature.len == SIGNATURE_BYTES && is_by(key, text, signature);
    EVP_PKEY_free(key);
  }
  BIO_free(file);
  buf_release(&pem);
  ERR_clear_error();
  if (found) return true;
  if (!count)
    return why_say(why, "%s: expected a public key of Ed25519 in PEM, as `openssl pkey -pubout` makes it",
                   keys_file);
  return why_say(why, "its signature is by none of the keys in %s", keys_file);
}
