// SPDX-License-Identifier: Apache-2.0
// tls_identity: a certificate with its chain, its key and its OCSP response. It is read once, never changed, and
// shared by reference between contexts, connections and threads.
#ifndef PERILUNE_NET_TLS_IDENTITY_H
#define PERILUNE_NET_TLS_IDENTITY_H

#include <stdbool.h>

#include "base/str.h"

struct tls_identity;

/* File names, or PEM text itself for certificate and key. */
struct tls_files {
  struct str certificate, key; /* the chain begins with the server's own certificate */
  struct str ocsp;             /* a DER file with the answer of the OCSP responder; may be empty */
};

/* What is wrong if only one of the two is given, for people; static. NULL: both are, or none. */
static inline const char *tls_files_fault(struct str certificate, struct str key) {
  if (str_is_empty(certificate) == str_is_empty(key)) return NULL;
  return str_is_empty(key) ? "certificate and key go together: key is missing"
                           : "certificate and key go together: certificate is missing";
}

/* NULL: *why is malloc'd and names the file: it cannot be read, is cut short, has expired, or the key is not
 * the certificate's. One reference. */
struct tls_identity *tls_identity_load(const struct tls_files *files, char **why);
/* The same, of which the last ones are kept by the names of their files: where none of these has changed (device,
 * inode, time, size), or none can be looked at any more by the user that the process has become, nothing is read. */
struct tls_identity *tls_identity_get(const struct tls_files *files, char **why);
/* Is it a file of one that is kept, which has not changed, or cannot be looked at? */
bool tls_is_kept(struct str file);
/* Lets go of those kept that were not got since the last call. */
void tls_identity_forget_unused(void);
/* Of all: at the end of the process. */
void tls_identity_forget_all(void);
/* Has its certificate expired? */
bool tls_identity_is_current(const struct tls_identity *identity);
/* PEM text, and no file's name? */
bool tls_is_text(struct str from);
struct tls_identity *tls_identity_hold(struct tls_identity *identity);
/* NULL is harmless. */
void tls_identity_release(struct tls_identity *identity);

#endif
