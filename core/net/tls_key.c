// SPDX-License-Identifier: Apache-2.0
// tls_key: makes, reads and writes keys. The hard problem is that a key may come from a stranger (a key set of a
// provider, whose server may be anybody's): its size is bounded before any arithmetic is done with it, and OpenSSL
// checks that a point is on its curve.
#include "net/tls_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/memory.h"
#include "base/why.h"
#include "net/tls_key_parts.h"
#include "net/tls_parts.h"

enum { RSA_LEAST = 2048, RSA_MOST = 8192, EXPONENT_MOST = 8, PEM_MOST = 65536, COORDINATE = 66 };

struct curve {
  const char *name; /* OpenSSL's */
  size_t bytes;     /* of a coordinate */
};
static const struct curve curves[] = {
    [KEY_P256] = {"prime256v1", 32}, [KEY_P384] = {"secp384r1", 48}, [KEY_P521] = {"secp521r1", 66}};

static bool is_curve(enum key_kind kind) { return kind <= KEY_P521; }

/* --- making --------------------------------------------------------------------------------------------- */

/* Takes over `pkey`. */
static struct tls_key *wrap(EVP_PKEY *pkey, enum key_kind kind, bool is_private) {
  ERR_clear_error();
  if (!pkey) return NULL;
  struct tls_key *key = memory_zalloc(sizeof *key);
  *key = (struct tls_key){pkey, kind, is_private};
  return key;
}

struct tls_key *tls_key_generate(enum key_kind kind) {
  EVP_PKEY *pkey = kind == KEY_RSA       ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)RSA_LEAST)
                   : kind == KEY_ED25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
                                         : EVP_PKEY_Q_keygen(NULL, NULL, "EC", curves[kind].name);
  return wrap(pkey, kind, true);
}

void tls_key_free(struct tls_key *key) {
  if (!key) return;
  EVP_PKEY_free(key->pkey);
  free(key);
}

enum key_kind tls_key_kind(const struct tls_key *key) { return key->kind; }
bool tls_key_is_private(const struct tls_key *key) { return key->is_private; }

/* --- from text ------------------------------------------------------------------------------------------ */

static bool find_curve(EVP_PKEY *pkey, enum key_kind *kind) {
  char name[32];
  size_t length;
  if (EVP_PKEY_get_group_name(pkey, name, sizeof name, &length) != 1) return false;
  for (int i = KEY_P256; i <= KEY_P521; i++) {
    *kind = (enum key_kind)i;
    if (strcmp(name, curves[i].name) == 0) return true;
  }
  return false;
}

static bool find_kind(EVP_PKEY *pkey, enum key_kind *kind, char **why) {
  int bits = EVP_PKEY_get_bits(pkey);
  *kind = EVP_PKEY_is_a(pkey, "ED25519") ? KEY_ED25519 : KEY_RSA;
  if (*kind == KEY_ED25519) return true;
  if (EVP_PKEY_is_a(pkey, "RSA"))
    return (bits >= RSA_LEAST && bits <= RSA_MOST) ||
           why_say(why, "an RSA key has %d to %d bits, this one %d", RSA_LEAST, RSA_MOST, bits);
  return (EVP_PKEY_is_a(pkey, "EC") && find_curve(pkey, kind)) ||
         why_say(why, "a key is RSA, EC (P-256, P-384, P-521) or Ed25519: this one is none of them");
}

int tls_no_passphrase(char *buffer, int size, int writing, void *unused) {
  (void)buffer, (void)size, (void)writing, (void)unused;
  return -1;
}

static EVP_PKEY *read_certificate(BIO *bio) {
  X509 *certificate = PEM_read_bio_X509(bio, NULL, tls_no_passphrase, NULL);
  EVP_PKEY *pkey = certificate ? X509_get_pubkey(certificate) : NULL;
  X509_free(certificate);
  return pkey;
}

static EVP_PKEY *read_request(BIO *bio) {
  X509_REQ *request = PEM_read_bio_X509_REQ(bio, NULL, tls_no_passphrase, NULL);
  EVP_PKEY *pkey = request ? X509_REQ_get_pubkey(request) : NULL;
  X509_REQ_free(request);
  return pkey;
}

static EVP_PKEY *read_pem(struct str pem, bool *is_private) {
  BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
  EVP_PKEY *pkey = NULL;
  *is_private = memmem(pem.ptr, pem.len, "PRIVATE KEY-----", 16) != NULL;
  if (*is_private)
    pkey = PEM_read_bio_PrivateKey(bio, NULL, tls_no_passphrase, NULL);
  else if (memmem(pem.ptr, pem.len, "BEGIN CERTIFICATE-----", 22))
    pkey = read_certificate(bio);
  else if (memmem(pem.ptr, pem.len, "CERTIFICATE REQUEST-----", 24))
    pkey = read_request(bio);
  else
    pkey = PEM_read_bio_PUBKEY(bio, NULL, tls_no_passphrase, NULL);
  BIO_free(bio);
  return pkey;
}

struct tls_key *tls_key_read(struct str pem, char **why) {
  enum key_kind kind;
  bool is_private = false;
  ERR_clear_error();
  if (pem.len > PEM_MOST) {
    why_say(why, "a key has at most %d bytes of PEM", PEM_MOST);
    return NULL;
  }
  EVP_PKEY *pkey = read_pem(pem, &is_private);
  if (!pkey)
    why_say(why, "no key: expected PEM of a private key without a passphrase, a public key or a certificate");
  else if (find_kind(pkey, &kind, why))
    return wrap(pkey, kind, is_private);
  EVP_PKEY_free(pkey);
  return NULL;
}

/* --- from parts ----------------------------------------------------------------------------------------- */

static EVP_PKEY *from_parameters(const char *type, OSSL_PARAM_BLD *build) {
  EVP_PKEY *pkey = NULL;
  OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(build);
  EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
  if (context && parameters && EVP_PKEY_fromdata_init(context) == 1)
    EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_PUBLIC_KEY, parameters);
  EVP_PKEY_CTX_free(context);
  OSSL_PARAM_free(parameters);
  return pkey;
}

static EVP_PKEY *rsa_of(struct str n, struct str e) {
  OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
  BIGNUM *modulus = BN_bin2bn((const unsigned char *)n.ptr, (int)n.len, NULL);
  BIGNUM *exponent = BN_bin2bn((const unsigned char *)e.ptr, (int)e.len, NULL);
  int bits = BN_num_bits(modulus);
  EVP_PKEY *pkey = NULL;
  bool is_fit = bits >= RSA_LEAST && bits <= RSA_MOST && BN_is_odd(modulus) && BN_is_odd(exponent) &&
                BN_num_bits(exponent) >= 2;
  if (is_fit && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, modulus) &&
      OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, exponent))
    pkey = from_parameters("RSA", build);
  OSSL_PARAM_BLD_free(build);
  BN_free(modulus);
  BN_free(exponent);
  return pkey;
}

static EVP_PKEY *ec_of(const struct curve *curve, struct str x, struct str y) {
  unsigned char point[1 + 2 * COORDINATE] = {POINT_CONVERSION_UNCOMPRESSED};
  OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
  EVP_PKEY *pkey = NULL;
  memcpy(point + 1, x.ptr, curve->bytes);
  memcpy(point + 1 + curve->bytes, y.ptr, curve->bytes);
  if (OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, curve->name, 0) &&
      OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * curve->bytes))
    pkey = from_parameters("EC", build);
  OSSL_PARAM_BLD_free(build);
  return pkey;
}

static const char *fault_of_parts(enum key_kind kind, const struct key_parts *parts) {
  if (is_curve(kind) && (parts->x.len != curves[kind].bytes || parts->y.len != curves[kind].bytes))
    return "x and y do not have the length of the curve";
  if (kind == KEY_ED25519 && parts->x.len != 32) return "x does not have 32 bytes";
  if (kind == KEY_RSA &&
      (!parts->n.len || parts->n.len > RSA_MOST / 8 + 1 || !parts->e.len || parts->e.len > EXPONENT_MOST))
    return "n or e is missing or too long";
  return NULL;
}

struct tls_key *tls_key_of_parts(enum key_kind kind, const struct key_parts *parts, const char **why) {
  *why = fault_of_parts(kind, parts);
  if (*why) return NULL;
  EVP_PKEY *pkey =
      kind == KEY_RSA ? rsa_of(parts->n, parts->e)
      : kind == KEY_ED25519
          ? EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)parts->x.ptr, 32)
          : ec_of(&curves[kind], parts->x, parts->y);
  if (!pkey)
    *why = kind == KEY_RSA ? "no RSA key: n and e are odd, and n has 2048 to 8192 bits"
                           : "the point is not on the curve";
  return wrap(pkey, kind, false);
}

/* --- to parts and text ---------------------------------------------------------------------------------- */

/* The number under that name, with at least `bytes` bytes. */
static size_t append_number(const EVP_PKEY *pkey, const char *name, size_t bytes, struct buf *room) {
  BIGNUM *number = NULL;
  if (EVP_PKEY_get_bn_param(pkey, name, &number) != 1) return 0;
  if (!bytes) bytes = (size_t)BN_num_bytes(number);
  buf_reserve(room, bytes);
  BN_bn2binpad(number, (unsigned char *)buf_tail(room), (int)bytes);
  buf_commit(room, bytes);
  BN_free(number);
  return bytes;
}

static void split(const struct buf *room, size_t first, struct str *a, struct str *b) {
  struct str whole = buf_str(room);
  *a = (struct str){whole.ptr, first};
  *b = str_from(whole, first);
}

void tls_key_parts(const struct tls_key *key, struct buf *room, struct key_parts *parts) {
  size_t raw = 32;
  *parts = (struct key_parts){{0}, {0}, {0}, {0}};
  buf_clear(room);
  if (key->kind == KEY_RSA) {
    size_t first = append_number(key->pkey, OSSL_PKEY_PARAM_RSA_N, 0, room);
    append_number(key->pkey, OSSL_PKEY_PARAM_RSA_E, 0, room);
    split(room, first, &parts->n, &parts->e);
  } else if (key->kind == KEY_ED25519) {
    buf_reserve(room, raw);
    EVP_PKEY_get_raw_public_key(key->pkey, (unsigned char *)buf_tail(room), &raw);
    buf_commit(room, raw);
    parts->x = buf_str(room);
  } else {
    size_t first = append_number(key->pkey, OSSL_PKEY_PARAM_EC_PUB_X, curves[key->kind].bytes, room);
    append_number(key->pkey, OSSL_PKEY_PARAM_EC_PUB_Y, curves[key->kind].bytes, room);
    split(room, first, &parts->x, &parts->y);
  }
  ERR_clear_error();
}

bool tls_key_write(const struct tls_key *key, bool is_private, struct buf *pem) {
  if (is_private && !key->is_private) return false;
  char *text = NULL;
  BIO *bio = BIO_new(BIO_s_mem());
  int ok = is_private ? PEM_write_bio_PKCS8PrivateKey(bio, key->pkey, NULL, NULL, 0, NULL, NULL)
                      : PEM_write_bio_PUBKEY(bio, key->pkey);
  long length = BIO_get_mem_data(bio, &text);
  if (ok == 1) buf_append(pem, text, (size_t)length);
  if (length > 0) OPENSSL_cleanse(text, (size_t)length);
  BIO_free(bio);
  ERR_clear_error();
  return ok == 1;
}
