// SPDX-License-Identifier: Apache-2.0
// tls_trust: files of authorities, read like every file whose name comes from outside: OpenSSL would block on a FIFO,
// and read a device for ever.
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/buf.h"
#include "base/safe_file.h"
#include "base/why.h"
#include "net/tls_parts.h"

bool tls_read_file(const char *what, const char *file, struct buf *text, char **why) {
  if (safe_read(file, SAFE_READ_MOST, text)) return true;
  ERR_clear_error();
  return why_say(why, "%s %s: %s", what, file, safe_reason(errno));
}

static bool has_name(const STACK_OF(X509_NAME) * names, const X509_NAME *name) {
  for (int i = 0; i < sk_X509_NAME_num(names); i++)
    if (X509_NAME_cmp(sk_X509_NAME_value(names, i), name) == 0) return true;
  return false;
}

/* A certificate, a list of those that were revoked, or both; a key is nothing to trust. */
static bool add(X509_STORE *store, const X509_INFO *info, STACK_OF(X509_NAME) * names) {
  if (info->x509) X509_STORE_add_cert(store, info->x509);
  if (info->crl) X509_STORE_add_crl(store, info->crl);
  if (names && info->x509 && !has_name(names, X509_get_subject_name(info->x509)))
    sk_X509_NAME_push(names, X509_NAME_dup(X509_get_subject_name(info->x509)));
  return info->x509 || info->crl;
}

/* An empty passphrase: nobody is to be asked for one. */
static STACK_OF(X509_INFO) * read_all(struct str pem) {
  static char none[] = "";
  BIO *bio = BIO_new_mem_buf(pem.ptr, (int)pem.len);
  STACK_OF(X509_INFO) *all = PEM_X509_INFO_read_bio(bio, NULL, NULL, none);
  BIO_free(bio);
  return all;
}

bool tls_trust(SSL_CTX *ssl, struct str pem, STACK_OF(X509_NAME) * names) {
  STACK_OF(X509_INFO) *all = read_all(pem);
  bool found = false;
  for (int i = 0; all && i < sk_X509_INFO_num(all); i++)
    found |= add(SSL_CTX_get_cert_store(ssl), sk_X509_INFO_value(all, i), names);
  if (all && !found) ERR_raise(ERR_LIB_X509, X509_R_NO_CERTIFICATE_OR_CRL_FOUND);
  sk_X509_INFO_pop_free(all, X509_INFO_free);
  return found;
}
