// SPDX-License-Identifier: Apache-2.0
// tls_sign: tls_key signs and verifies; this reads its keys from files, each time, so that a key can be replaced.
#include "net/tls_sign.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/safe_file.h"
#include "base/why.h"
#include "net/tls_key_parts.h"
#include "net/tls_parts.h"

/* `pem` is a slice of `text`, and never NULL, which OpenSSL would not read. */
static bool read_keys(const char *path, struct buf *text, struct str *pem, char **why) {
  if (!safe_read(path, SAFE_READ_MOST, text)) return why_say(why, "%s: %s", path, safe_reason(errno));
  *pem = buf_len(text) ? buf_str(text) : STR("");
  return true;
}

/* The signature of 64 bytes is appended. False: it is no such key, or its public half alone. */
static bool sign_with(struct str pem, struct str text, struct buf *signature) {
  char *unused = NULL;
  struct tls_key *key = tls_key_read(pem, &unused);
  bool ok = key && tls_key_sign(key, SIGN_EDDSA, text, signature);
  tls_key_free(key);
  free(unused);
  return ok;
}

bool sign_text(const char *key_file, struct str text, unsigned char signature[SIGNATURE_BYTES], char **why) {
  struct buf file = {0}, made = {0};
  struct str pem = {0};
  if (!read_keys(key_file, &file, &pem, why)) return false;
  bool ok = sign_with(pem, text, &made);
  if (ok)
    memcpy(signature, buf_ptr(&made), SIGNATURE_BYTES);
  else
    why_say(why,
            "%s: expected a private key of Ed25519 in PEM, as `openssl genpkey -algorithm ed25519` makes it",
            key_file);
  buf_release(&made);
  buf_release(&file);
  return ok;
}

/* Of the keys of Ed25519, `count` of them are looked at. */
static bool is_by_one(struct str pem, struct str text, struct str signature, unsigned *count) {
  BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
  struct tls_key key = {.kind = KEY_ED25519};
  bool found = false;
  while (!found && (key.pkey = PEM_read_bio_PUBKEY(bio, NULL, tls_no_passphrase, NULL))) {
    bool is_fit = EVP_PKEY_is_a(key.pkey, "ED25519");
    *count += is_fit;
    found = is_fit && tls_key_verify(&key, SIGN_EDDSA, text, signature);
    EVP_PKEY_free(key.pkey);
  }
  BIO_free(bio);
  ERR_clear_error();
  return found;
}

/* False: it cannot be read, or there is no key of Ed25519. */
static bool look_for(const char *keys_file, struct str text, struct str signature, bool *is_found,
                     char **why) {
  struct buf file = {0};
  struct str pem = {0};
  unsigned count = 0;
  if (!read_keys(keys_file, &file, &pem, why)) return false;
  *is_found = is_by_one(pem, text, signature, &count);
  buf_release(&file);
  return count ||
         why_say(why, "%s: expected a public key of Ed25519 in PEM, as `openssl pkey -pubout` makes it",
                 keys_file);
}

bool sign_has_keys(const char *keys_file, char **why) {
  bool is_found;
  return look_for(keys_file, STR(""), STR(""), &is_found, why);
}

bool sign_is_by(const char *keys_file, struct str text, struct str signature, char **why) {
  bool is_found;
  if (!look_for(keys_file, text, signature, &is_found, why)) return false;
  return is_found || why_say(why, "its signature is by none of the keys in %s", keys_file);
}
