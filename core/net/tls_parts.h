// SPDX-License-Identifier: Apache-2.0
// tls_parts: what the files of net/tls share with each other, and with no other file.
#ifndef PERILUNE_NET_TLS_PARTS_H
#define PERILUNE_NET_TLS_PARTS_H

#include <openssl/ssl.h>
#include <stdatomic.h>

#include "net/tls_context.h"

struct buf;
struct tls_client;
struct tls_resumption;
struct tls_server;

enum { TLS_NAME = 256 }; /* bytes of a host name, with its terminator */

struct tls_context {
  SSL_CTX *ssl; /* owned */
  atomic_uint references;
  struct tls_client *client; /* owned; NULL: for listeners */
  struct tls_server *server; /* owned; NULL: for peers */
};

struct tls_identity {
  atomic_uint references;
  X509 *certificate;      /* owned */
  STACK_OF(X509) * chain; /* owned: without the certificate itself */
  EVP_PKEY *key;          /* owned */
};

/* How far a handshake is with a certificate that somebody else knows. */
enum tls_asking { ASKING_NOT, ASKING, ASKED, REFUSED };

/* The session of one connection; SSL_get_app_data gives it. */
struct tls {
  SSL *ssl;                          /* owned */
  struct tls_context *context;       /* reference: OpenSSL's callbacks look into it */
  struct tls_resumption *resumption; /* borrowed; NULL: sessions are not kept */
  struct tls_identity *provided;     /* reference; the answer to ASKING, NULL: the listener's own */
  enum tls_asking asking;
  bool is_challenge; /* the client is an authority that proves a name (RFC 8737), and nothing else */
  bool offers_http1, offers_http2; /* nothing else may be chosen, if one of them was offered */
  bool has_failed;    /* then nothing more is sent, not even close_notify (RFC 8446 section 6.2) */
  bool is_starved;    /* the last read wanted more than OpenSSL had: what it buffers is a part of a record */
  const char *misuse; /* static; why no handshake is possible; NULL: it is */
  unsigned long failure;      /* OpenSSL's code of the last IO_ERROR */
  char verify_name[TLS_NAME]; /* for the sentence on a mismatch */
};

/* With the settings that all connections have. One reference. */
struct tls_context *tls_context_new(const SSL_METHOD *method);
void tls_context_set_oldest(struct tls_context *context, enum tls_oldest oldest);
/* Makes "<what> <file>: <OpenSSL's reason>" of the error at hand. Always false. */
bool tls_blame(char **why, const char *what, const char *file);

/* --- tls_trust.c --- */

/* The text of a file, for the caller to release. False: *why names it, as "<what> <file>: ...". */
bool tls_read_file(const char *what, const char *file, struct buf *text, char **why);
/* Trusts the certificates of a PEM text. Their names are added to `names`, which may be NULL. False, with an error of
 * OpenSSL: there is none, or one cannot be read. */
bool tls_trust(SSL_CTX *ssl, struct str pem, STACK_OF(X509_NAME) * names);

/* --- tls_client.c --- */

void tls_client_free(struct tls_client *client);
/* What a peer gives to resume a session with; called by OpenSSL. */
int tls_keep_session(SSL *ssl, SSL_SESSION *session);

/* --- tls_server.c --- */

void tls_server_free(struct tls_server *server);

/* --- tls_key.c --- */

/* For all that is read from PEM (pem_password_cb): nobody is asked for a passphrase. OpenSSL would ask at the terminal,
 * or at the standard input, and the process would stand still. */
int tls_no_passphrase(char *buffer, int size, int writing, void *unused);

/* --- tls_challenge.c --- */

/* Lets authorities prove names: then the certificate for acme-tls/1 is asked for. */
void tls_challenge_accept(SSL_CTX *ssl);
/* What is chosen of the protocols for one; called by OpenSSL. */
extern const char tls_challenge_protocol[];

/* --- tls_identity.c --- */

/* The OCSP response of the certificate that was chosen; called by OpenSSL. */
int tls_staple(SSL *ssl, void *unused);

#endif
