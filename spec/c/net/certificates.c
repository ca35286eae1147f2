// SPDX-License-Identifier: Apache-2.0
// certificates: see certificates.h. Any failure here ends the run: it is no unit's finding.
#include "certificates.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "unit.h"

static char directory[UNIT_PATH_BYTES];
static struct certificates files;

static void must(int ok) {
  if (!ok) abort();
}

static void add_extension(X509 *certificate, int nid, const char *value) {
  X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
  must(extension && X509_add_ext(certificate, extension, -1));
  X509_EXTENSION_free(extension);
}

/* Valid from an hour ago until in an hour; `issuer` NULL: signed by itself. */
static X509 *make(const char *name, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key) {
  static long serial;
  X509 *certificate = X509_new();
  must(certificate && X509_set_version(certificate, 2));
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_ASC,
                             (const unsigned char *)name, -1, -1, 0);
  X509_set_issuer_name(certificate, X509_get_subject_name(issuer ? issuer : certificate));
  X509_set_pubkey(certificate, key);
  if (issuer)
    add_extension(certificate, NID_subject_alt_name, "DNS:good.example,DNS:*.wild.example,IP:127.0.0.1");
  else
    add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE");
  must(X509_sign(certificate, issuer ? issuer_key : key, EVP_sha256()));
  return certificate;
}

static FILE *create(char path[CERTIFICATE_PATH_BYTES], const char *name) {
  snprintf(path, CERTIFICATE_PATH_BYTES, "%s/%s", directory, name);
  FILE *file = fopen(path, "w");
  must(file != NULL);
  return file;
}

static void write_certificate(char path[CERTIFICATE_PATH_BYTES], const char *name, X509 *certificate) {
  FILE *file = create(path, name);
  must(PEM_write_X509(file, certificate));
  must(fclose(file) == 0);
}

static void write_key(char path[CERTIFICATE_PATH_BYTES], const char *name, EVP_PKEY *key,
                      const char *passphrase) {
  FILE *file = create(path, name);
  must(PEM_write_PrivateKey(file, key, passphrase ? EVP_aes_128_cbc() : NULL, NULL, 0, NULL,
                            (void *)passphrase));
  must(fclose(file) == 0);
}

static void remove_all(void) {
  const char *paths[] = {files.ca,  files.other_ca,   files.certificate,
                         files.key, files.locked_key, files.other_key};
  for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) unlink(paths[i]);
  rmdir(directory);
}

static void make_all(void) {
  EVP_PKEY *ca_key = EVP_EC_gen("P-256"), *other_key = EVP_EC_gen("P-256"), *key = EVP_EC_gen("P-256");
  X509 *ca = make("units", ca_key, NULL, NULL), *other = make("others", other_key, NULL, NULL);
  X509 *leaf = make("leaf", key, ca, ca_key);
  unit_temporary(directory, "perilune-units-XXXXXX");
  must(mkdtemp(directory) != NULL);
  atexit(remove_all);
  write_certificate(files.ca, "ca.pem", ca);
  write_certificate(files.other_ca, "other_ca.pem", other);
  write_certificate(files.certificate, "certificate.pem", leaf);
  write_key(files.key, "key.pem", key, NULL);
  write_key(files.locked_key, "locked_key.pem", key, "secret");
  write_key(files.other_key, "other_key.pem", other_key, NULL);
  X509_free(ca), X509_free(other), X509_free(leaf);
  EVP_PKEY_free(ca_key), EVP_PKEY_free(other_key), EVP_PKEY_free(key);
}

const struct certificates *certificates(void) {
  if (!*files.ca) make_all();
  return &files;
}
