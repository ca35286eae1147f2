// SPDX-License-Identifier: Apache-2.0
// tls_signature: signatures in the form that JWS has (RFC 7518 section 3): of an EC key not the DER of OpenSSL, but
// the two numbers r and s, one behind the other, each of the length of the curve's order.
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>

#include "base/buf.h"
#include "net/tls_key.h"
#include "net/tls_key_parts.h"

enum { NUMBER_MOST = 66, DER_MOST = 2 * NUMBER_MOST + 16, SIGNATURE_MOST = 1024 };

struct form {
  const char *name;
  enum key_kind kind;
  const char *digest; /* NULL: the kind has its own */
  bool is_pss;
  size_t number; /* bytes of r and of s */
};
static const struct form forms[KEY_ALGORITHMS] = {
    [SIGN_RS256] = {"RS256", KEY_RSA, "SHA256", false, 0},
    [SIGN_RS384] = {"RS384", KEY_RSA, "SHA384", false, 0},
    [SIGN_RS512] = {"RS512", KEY_RSA, "SHA512", false, 0},
    [SIGN_PS256] = {"PS256", KEY_RSA, "SHA256", true, 0},
    [SIGN_PS384] = {"PS384", KEY_RSA, "SHA384", true, 0},
    [SIGN_PS512] = {"PS512", KEY_RSA, "SHA512", true, 0},
    [SIGN_ES256] = {"ES256", KEY_P256, "SHA256", false, 32},
    [SIGN_ES384] = {"ES384", KEY_P384, "SHA384", false, 48},
    [SIGN_ES512] = {"ES512", KEY_P521, "SHA512", false, 66},
    [SIGN_EDDSA] = {"EdDSA", KEY_ED25519, NULL, false, 0},
};

const char *key_algorithm_name(enum key_algorithm algorithm) { return forms[algorithm].name; }
enum key_kind key_algorithm_kind(enum key_algorithm algorithm) { return forms[algorithm].kind; }

/* RFC 7518 section 3.5: the salt is as long as the digest. */
static bool pad(EVP_PKEY_CTX *context, const struct form *form) {
  return !form->is_pss || (EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
                           EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1);
}

/* --- r and s -------------------------------------------------------------------------------------------- */

static bool append_numbers(const unsigned char *der, size_t length, size_t number, struct buf *signature) {
  ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &der, (long)length);
  if (!pair) return false;
  buf_reserve(signature, 2 * number);
  unsigned char *out = (unsigned char *)buf_tail(signature);
  bool ok = BN_bn2binpad(ECDSA_SIG_get0_r(pair), out, (int)number) >= 0 &&
            BN_bn2binpad(ECDSA_SIG_get0_s(pair), out + number, (int)number) >= 0;
  if (ok) buf_commit(signature, 2 * number);
  ECDSA_SIG_free(pair);
  return ok;
}

/* The DER of both numbers, in `der`; 0: there are other bytes. */
static size_t der_of(struct str signature, size_t number, unsigned char der[DER_MOST]) {
  if (signature.len != 2 * number) return 0;
  const unsigned char *bytes = (const unsigned char *)signature.ptr;
  ECDSA_SIG *pair = ECDSA_SIG_new();
  ECDSA_SIG_set0(pair, BN_bin2bn(bytes, (int)number, NULL), BN_bin2bn(bytes + number, (int)number, NULL));
  int length = i2d_ECDSA_SIG(pair, NULL);
  if (length > 0 && length <= DER_MOST) i2d_ECDSA_SIG(pair, &der);
  ECDSA_SIG_free(pair);
  return length > 0 && length <= DER_MOST ? (size_t)length : 0;
}

/* --- both ways ------------------------------------------------------------------------------------------ */

bool tls_key_sign(const struct tls_key *key, enum key_algorithm algorithm, struct str text,
                  struct buf *signature) {
  const struct form *form = &forms[algorithm];
  unsigned char bytes[SIGNATURE_MOST];
  size_t length = sizeof bytes;
  EVP_PKEY_CTX *context; /* of `hash` */
  if (key->kind != form->kind || !key->is_private) return false;
  EVP_MD_CTX *hash = EVP_MD_CTX_new();
  bool ok = EVP_DigestSignInit_ex(hash, &context, form->digest, NULL, NULL, key->pkey, NULL) == 1 &&
            pad(context, form) &&
            EVP_DigestSign(hash, bytes, &length, (const unsigned char *)text.ptr, text.len) == 1;
  EVP_MD_CTX_free(hash);
  if (ok && form->number)
    ok = append_numbers(bytes, length, form->number, signature);
  else if (ok)
    buf_append(signature, bytes, length);
  ERR_clear_error();
  return ok;
}

bool tls_key_verify(const struct tls_key *key, enum key_algorithm algorithm, struct str text,
                    struct str signature) {
  const struct form *form = &forms[algorithm];
  unsigned char der[DER_MOST];
  EVP_PKEY_CTX *context; /* of `hash` */
  if (key->kind != form->kind || !signature.len) return false;
  if (form->number) {
    signature = (struct str){(const char *)der, der_of(signature, form->number, der)};
    if (!signature.len) return false;
  }
  EVP_MD_CTX *hash = EVP_MD_CTX_new();
  bool ok = EVP_DigestVerifyInit_ex(hash, &context, form->digest, NULL, NULL, key->pkey, NULL) == 1 &&
            pad(context, form) &&
            EVP_DigestVerify(hash, (const unsigned char *)signature.ptr, signature.len,
                             (const unsigned char *)text.ptr, text.len) == 1;
  EVP_MD_CTX_free(hash);
  ERR_clear_error();
  return ok;
}
