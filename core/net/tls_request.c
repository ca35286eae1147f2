// SPDX-License-Identifier: Apache-2.0
// tls_request: writes requests and certificates, and reads certificates. Nothing here trusts a certificate: whoever
// reads its facts asks OpenSSL for the rest when it comes into use.
#include "net/tls_request.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/buf.h"
#include "net/tls_key_parts.h"
#include "net/tls_parts.h"

enum { X509_VERSION = 2, ACME_BYTES = 32, SERIAL_BYTES = 16 };

/* --- writing -------------------------------------------------------------------------------------------- */

/* The extension subjectAltName, to be freed; critical where the subject is empty (RFC 5280 section 4.2.1.6). */
static X509_EXTENSION *alt_names(struct tls_request_names from) {
  GENERAL_NAMES *all = GENERAL_NAMES_new();
  for (unsigned i = 0; i < from.count; i++) {
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();
    ASN1_STRING_set(text, from.names[i].ptr, (int)from.names[i].len);
    GENERAL_NAME_set0_value(name, GEN_DNS, text);
    sk_GENERAL_NAME_push(all, name);
  }
  X509_EXTENSION *extension = X509V3_EXT_i2d(NID_subject_alt_name, 1, all);
  GENERAL_NAMES_free(all);
  return extension;
}

static void append_der(unsigned char *der, int length, struct buf *out) {
  if (length > 0) buf_append(out, der, (size_t)length);
  OPENSSL_free(der);
}

/* An Ed25519 key has its digest built in. */
static const EVP_MD *digest_for(const struct tls_key *key) {
  return key->kind == KEY_ED25519 ? NULL : EVP_sha256();
}

bool tls_request_write(const struct tls_key *key, struct tls_request_names names, struct buf *der) {
  X509_REQ *request = X509_REQ_new();
  STACK_OF(X509_EXTENSION) *extensions = sk_X509_EXTENSION_new_null();
  unsigned char *bytes = NULL;
  sk_X509_EXTENSION_push(extensions, alt_names(names));
  bool ok = key->is_private && X509_REQ_set_version(request, 0) == 1 &&
            X509_REQ_set_pubkey(request, key->pkey) == 1 &&
            X509_REQ_add_extensions(request, extensions) == 1 &&
            X509_REQ_sign(request, key->pkey, digest_for(key)) > 0;
  if (ok) append_der(bytes, i2d_X509_REQ(request, &bytes), der);
  sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  X509_REQ_free(request);
  ERR_clear_error();
  return ok;
}

static void add_names(X509 *certificate, struct tls_request_names names) {
  X509_EXTENSION *extension = alt_names(names);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

/* RFC 8737 section 3: critical, an OCTET STRING in the OCTET STRING of the extension. */
static void add_acme(X509 *certificate, struct str digest) {
  unsigned char der[2 + ACME_BYTES] = {V_ASN1_OCTET_STRING, ACME_BYTES};
  ASN1_OBJECT *identifier = OBJ_txt2obj("1.3.6.1.5.5.7.1.31", 1);
  ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
  memcpy(der + 2, digest.ptr, ACME_BYTES);
  ASN1_OCTET_STRING_set(value, der, sizeof der);
  X509_EXTENSION *extension = X509_EXTENSION_create_by_OBJ(NULL, identifier, 1, value);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
  ASN1_OCTET_STRING_free(value);
  ASN1_OBJECT_free(identifier);
}

/* RFC 5280 section 4.2.1.1: whose key has signed it. */
static void add_authority(X509 *certificate, const struct tls_key *signer) {
  unsigned char *der = NULL, digest[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  AUTHORITY_KEYID *authority = AUTHORITY_KEYID_new();
  int bytes = i2d_PUBKEY(signer->pkey, &der);
  EVP_Digest(der, (size_t)bytes, digest, &length, EVP_sha1(), NULL);
  authority->keyid = ASN1_OCTET_STRING_new();
  ASN1_OCTET_STRING_set(authority->keyid, digest, (int)length);
  X509_add1_ext_i2d(certificate, NID_authority_key_identifier, authority, 0, X509V3_ADD_DEFAULT);
  AUTHORITY_KEYID_free(authority);
  OPENSSL_free(der);
}

static void set_serial(X509 *certificate) {
  BIGNUM *number = BN_new();
  BN_rand(number, 8 * SERIAL_BYTES - 1, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate));
  BN_free(number);
}

static void set_names(X509 *certificate, const struct tls_signed *wanted) {
  static const unsigned char issuer[] = "perilune";
  X509_NAME *name = X509_get_issuer_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, issuer, -1, -1, 0);
  if (wanted->subject == wanted->signer) X509_set_subject_name(certificate, name);
}

static bool write_certificate(X509 *certificate, struct buf *pem) {
  char *text = NULL;
  BIO *bio = BIO_new(BIO_s_mem());
  bool ok = PEM_write_bio_X509(bio, certificate) == 1;
  long length = BIO_get_mem_data(bio, &text);
  if (ok) buf_append(pem, text, (size_t)length);
  BIO_free(bio);
  return ok;
}

bool tls_request_sign(const struct tls_signed *wanted, struct buf *pem) {
  if (!wanted->signer->is_private) return false;
  X509 *certificate = X509_new();
  X509_set_version(certificate, X509_VERSION);
  set_serial(certificate);
  set_names(certificate, wanted);
  ASN1_TIME_set(X509_getm_notBefore(certificate), (time_t)wanted->not_before);
  ASN1_TIME_set(X509_getm_notAfter(certificate), (time_t)wanted->not_after);
  X509_set_pubkey(certificate, wanted->subject->pkey);
  add_names(certificate, wanted->names);
  if (wanted->acme.len == ACME_BYTES) add_acme(certificate, wanted->acme);
  add_authority(certificate, wanted->signer);
  bool ok = X509_sign(certificate, wanted->signer->pkey, digest_for(wanted->signer)) > 0 &&
            write_certificate(certificate, pem);
  X509_free(certificate);
  ERR_clear_error();
  return ok;
}

/* --- reading -------------------------------------------------------------------------------------------- */

static int64_t seconds_of(const ASN1_TIME *when) {
  struct tm parts;
  return ASN1_TIME_to_tm(when, &parts) ? (int64_t)timegm(&parts) : 0;
}

static void put_hex(char *room, size_t bytes, const unsigned char *from, int length) {
  room[0] = '\0';
  for (int i = 0; i < length && (size_t)(2 * i + 3) <= bytes; i++) snprintf(room + 2 * i, 3, "%02x", from[i]);
}

/* The content octets of its DER, with the zero that a high first bit asks for. */
static void put_serial(const X509 *certificate, struct tls_certificate_facts *facts) {
  unsigned char *der = NULL;
  int length = i2d_ASN1_INTEGER(X509_get0_serialNumber(certificate), &der);
  if (length > 2 && der[1] < 0x80) put_hex(facts->serial, sizeof facts->serial, der + 2, length - 2);
  OPENSSL_free(der);
}

static void put_name(char *room, size_t bytes, const X509_NAME *name) {
  BIO *bio = BIO_new(BIO_s_mem());
  X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  int length = BIO_read(bio, room, (int)bytes - 1);
  room[length > 0 ? length : 0] = '\0';
  BIO_free(bio);
}

static void put_facts(X509 *certificate, struct tls_certificate_facts *facts) {
  const ASN1_OCTET_STRING *authority = X509_get0_authority_key_id(certificate);
  facts->not_before = seconds_of(X509_get0_notBefore(certificate));
  facts->not_after = seconds_of(X509_get0_notAfter(certificate));
  put_serial(certificate, facts);
  if (authority)
    put_hex(facts->authority, sizeof facts->authority, ASN1_STRING_get0_data(authority),
            ASN1_STRING_length(authority));
  put_name(facts->subject, sizeof facts->subject, X509_get_subject_name(certificate));
  put_name(facts->issuer, sizeof facts->issuer, X509_get_issuer_name(certificate));
}

static void append_names(const X509 *certificate, struct buf *names) {
  GENERAL_NAMES *all = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
  for (int i = 0; i < sk_GENERAL_NAME_num(all); i++) {
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);
    if (name->type != GEN_DNS) continue;
    struct str text = {(const char *)ASN1_STRING_get0_data(name->d.dNSName),
                       (size_t)ASN1_STRING_length(name->d.dNSName)};
    if (!text.len || str_find(text, '\0') < text.len || str_find(text, '\n') < text.len) continue;
    buf_append_str(names, text);
    buf_append(names, "\n", 1);
  }
  GENERAL_NAMES_free(all);
}

static unsigned count_more(BIO *bio) {
  unsigned count = 0;
  for (X509 *next; (next = PEM_read_bio_X509(bio, NULL, tls_no_passphrase, NULL)); count++) X509_free(next);
  return count;
}

bool tls_request_facts(struct str pem, struct tls_certificate_facts *facts, struct buf *names, char **why) {
  *facts = (struct tls_certificate_facts){0};
  ERR_clear_error();
  BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
  X509 *certificate = PEM_read_bio_X509(bio, NULL, tls_no_passphrase, NULL);
  if (certificate) {
    put_facts(certificate, facts);
    append_names(certificate, names);
    facts->count = 1 + count_more(bio);
  } else {
    tls_blame(why, "certificate", "(PEM text)");
  }
  X509_free(certificate);
  BIO_free(bio);
  ERR_clear_error();
  return certificate != NULL;
}
