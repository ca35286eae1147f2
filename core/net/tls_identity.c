// SPDX-License-Identifier: Apache-2.0
// tls_identity: reads PEM and OCSP. The hard problem is to find mistakes while they can still be reported: OpenSSL
// would accept an expired certificate, half of a chain, or the OCSP response of another certificate, and only clients
// would complain.
#include "net/tls_identity.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/why.h"
#include "net/tls.h"
#include "net/tls_parts.h"

/* An OCSP response that goes with a certificate; its X509 owns it. */
struct staple {
  int length;
  time_t until;
  unsigned char der[];
};

static bool load_certificate(struct tls_identity *identity, struct str from, char **why);
static bool load_key(struct tls_identity *identity, const struct tls_files *files, char **why);
static bool load_staple(X509 *certificate, struct str file, char **why);

/* --- life ---------------------------------------------------------------------------------------------- */

struct tls_identity *tls_identity_load(const struct tls_files *files, char **why) {
  struct tls_identity *identity = memory_zalloc(sizeof *identity);
  atomic_init(&identity->references, 1);
  ERR_clear_error();
  if (load_certificate(identity, files->certificate, why) && load_key(identity, files, why) &&
      (!files->ocsp.len || load_staple(identity->certificate, files->ocsp, why)))
    return identity;
  tls_identity_release(identity);
  return NULL;
}

struct tls_identity *tls_identity_hold(struct tls_identity *identity) {
  atomic_fetch_add_explicit(&identity->references, 1, memory_order_relaxed);
  return identity;
}

void tls_identity_release(struct tls_identity *identity) {
  if (!identity || atomic_fetch_sub_explicit(&identity->references, 1, memory_order_acq_rel) != 1) return;
  X509_free(identity->certificate);
  sk_X509_pop_free(identity->chain, X509_free);
  EVP_PKEY_free(identity->key);
  free(identity);
}

/* --- reading ------------------------------------------------------------------------------------------- */

bool tls_is_text(struct str from) { return memmem(from.ptr, from.len, "-----BEGIN", 10) != NULL; }

static bool blame(char **why, const char *what, struct str from) {
  char *name = str_to_cstring(tls_is_text(from) ? STR("(PEM text)") : from);
  tls_blame(why, what, name);
  free(name);
  return false;
}

static bool blame_because(char **why, const char *what, struct str file, const char *reason) {
  if (tls_is_text(file)) file = STR("(PEM text)");
  ERR_clear_error();
  return why_say(why, "%s %.*s: %s", what, STR_ARG(file), reason);
}

/* Its bytes, in a BIO of its own. */
static BIO *bio_of(const struct buf *text) {
  BIO *bio = BIO_new(BIO_s_mem());
  int length = (int)buf_len(text);
  if (!bio || (length && BIO_write(bio, buf_ptr(text), length) != length))
    abort(); /* only memory can be missing */
  return bio;
}

/* A hook may name any file while others wait. NULL: *why says it. */
static BIO *open_source(const char *what, struct str from, char **why) {
  if (tls_is_text(from)) return BIO_new_mem_buf(from.ptr, (int)from.len);
  char *name = str_to_cstring(from);
  struct buf text = {0};
  BIO *bio = tls_read_file(what, name, &text, why) ? bio_of(&text) : NULL;
  buf_release(&text);
  free(name);
  return bio;
}

/* Behind the last certificate nothing starts any more; anything else is a chain that is cut short. */
static bool read_chain(struct tls_identity *identity, BIO *bio) {
  X509 *next;
  identity->chain = sk_X509_new_null();
  while ((next = PEM_read_bio_X509(bio, NULL, tls_no_passphrase, NULL))) sk_X509_push(identity->chain, next);
  unsigned long code = ERR_peek_last_error();
  bool is_end = ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
  if (is_end) ERR_clear_error();
  return is_end;
}

bool tls_identity_is_current(const struct tls_identity *identity) {
  return X509_cmp_current_time(X509_get0_notAfter(identity->certificate)) >= 0;
}

static bool is_current(const X509 *certificate, struct str from, char **why) {
  char reason[64], day[32] = "";
  struct tm until;
  const ASN1_TIME *end = X509_get0_notAfter(certificate);
  if (X509_cmp_current_time(end) >= 0) return true;
  if (ASN1_TIME_to_tm(end, &until)) strftime(day, sizeof day, "%Y-%m-%d %H:%M:%S", &until);
  snprintf(reason, sizeof reason, "it has expired, on %s UTC", day);
  return blame_because(why, "certificate", from, reason);
}

static bool load_certificate(struct tls_identity *identity, struct str from, char **why) {
  BIO *bio = open_source("certificate", from, why);
  if (!bio) return false;
  identity->certificate = PEM_read_bio_X509_AUX(bio, NULL, tls_no_passphrase, NULL);
  bool is_read = identity->certificate && read_chain(identity, bio);
  BIO_free(bio);
  return is_read ? is_current(identity->certificate, from, why) : blame(why, "certificate", from);
}

static bool refuse_stranger(const struct tls_files *files, char **why) {
  struct str certificate = tls_is_text(files->certificate) ? STR("the certificate") : files->certificate;
  char reason[512];
  snprintf(reason, sizeof reason, "it does not belong to %.*s", STR_ARG(certificate));
  return blame_because(why, "key", files->key, reason);
}

static bool load_key(struct tls_identity *identity, const struct tls_files *files, char **why) {
  BIO *bio = open_source("key", files->key, why);
  if (!bio) return false;
  identity->key = PEM_read_bio_PrivateKey(bio, NULL, tls_no_passphrase, NULL);
  BIO_free(bio);
  if (!identity->key) return blame(why, "key", files->key);
  return X509_check_private_key(identity->certificate, identity->key) == 1 || refuse_stranger(files, why);
}

/* --- OCSP ---------------------------------------------------------------------------------------------- */

static int staple_index;
static pthread_once_t staple_once = PTHREAD_ONCE_INIT;

static void free_staple(void *parent, void *staple, CRYPTO_EX_DATA *data, int index, long l, void *p) {
  (void)parent, (void)data, (void)index, (void)l, (void)p;
  free(staple);
}

static void make_index(void) {
  staple_index = CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_X509, 0, NULL, NULL, NULL, free_staple);
}

static time_t time_of(const ASN1_GENERALIZEDTIME *when) {
  struct tm parts;
  return when && ASN1_TIME_to_tm(when, &parts) ? timegm(&parts) : 0;
}

/* When what `response` says of the certificate ends; 0: it says nothing of it. Without an end (RFC 6960 section
 * 4.2.2.1) there is always newer information, so what there is will do. */
static time_t good_until(OCSP_RESPONSE *response, const X509 *certificate) {
  OCSP_BASICRESP *basic = OCSP_response_get1_basic(response);
  time_t until = 0;
  for (int i = 0; basic && i < OCSP_resp_count(basic); i++) {
    OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
    ASN1_INTEGER *serial = NULL;
    ASN1_GENERALIZEDTIME *end = NULL;
    OCSP_id_get0_info(NULL, NULL, NULL, &serial, (OCSP_CERTID *)OCSP_SINGLERESP_get0_id(single));
    if (!serial || ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(certificate)) != 0) continue;
    OCSP_single_get0_status(single, NULL, NULL, NULL, &end);
    until = end ? time_of(end) : time(NULL) + 7 * 86400;
  }
  OCSP_BASICRESP_free(basic);
  return until;
}

static void attach(X509 *certificate, OCSP_RESPONSE *response, time_t until) {
  int length = i2d_OCSP_RESPONSE(response, NULL);
  struct staple *staple = memory_alloc(sizeof *staple + (size_t)length);
  unsigned char *der = staple->der;
  *staple = (struct staple){i2d_OCSP_RESPONSE(response, &der), until};
  pthread_once(&staple_once, make_index);
  X509_set_ex_data(certificate, staple_index, staple);
}

static bool load_staple(X509 *certificate, struct str file, char **why) {
  BIO *bio = open_source("OCSP response", file, why);
  if (!bio) return false;
  OCSP_RESPONSE *response = d2i_OCSP_RESPONSE_bio(bio, NULL);
  BIO_free(bio);
  if (!response) return blame(why, "OCSP response", file);
  bool is_answer = OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL;
  time_t until = is_answer ? good_until(response, certificate) : 0;
  if (until) attach(certificate, response, until);
  OCSP_RESPONSE_free(response);
  if (!is_answer) return blame_because(why, "OCSP response", file, "the responder did not answer");
  if (!until) return blame_because(why, "OCSP response", file, "it is for another certificate");
  if (until < time(NULL))
    log_about(LOG_WARN, file, "OCSP response %.*s is out of date and not stapled to the certificate",
              STR_ARG(file));
  return true;
}

/* Called by OpenSSL when the client asks for it and the certificate is chosen. Its copy is OpenSSL's to free. */
int tls_staple(SSL *ssl, void *unused) {
  X509 *certificate = SSL_get_certificate(ssl);
  (void)unused;
  pthread_once(&staple_once, make_index);
  const struct staple *staple = certificate ? X509_get_ex_data(certificate, staple_index) : NULL;
  if (!staple || staple->until < time(NULL)) return SSL_TLSEXT_ERR_NOACK;
  unsigned char *copy = OPENSSL_memdup(staple->der, (size_t)staple->length);
  SSL_set_tlsext_status_ocsp_resp(ssl, copy, staple->length);
  return SSL_TLSEXT_ERR_OK;
}

void tls_use_identity(struct conn *conn, struct tls_identity *identity) {
  struct tls *tls = conn->tls;
  SSL_use_cert_and_key(tls->ssl, identity->certificate, identity->key, identity->chain, 1);
}
