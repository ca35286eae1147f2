// SPDX-License-Identifier: Apache-2.0
// tls_context: what many TLS connections share: certificates, trust, protocol versions. Made once, and shared by
// reference between connections and threads (OpenSSL's SSL_CTX is thread-safe).
#ifndef PERILUNE_NET_TLS_CONTEXT_H
#define PERILUNE_NET_TLS_CONTEXT_H

#include <stdbool.h>

#include "base/str.h"

struct tls_context;
struct tls_files;
struct tls_refresh;
struct ssl_ctx_st;

enum tls_oldest { TLS_FROM_1_2, TLS_FROM_1_3 };

enum tls_client_verify { TLS_CLIENT_IGNORED, TLS_CLIENT_OPTIONAL, TLS_CLIENT_REQUIRED };

/* What a listener shows and wants. Text is borrowed for the call. */
struct tls_server_options {
  const struct tls_files *certificates; /* borrowed; chosen by the client's server name and abilities */
  unsigned count;
  struct str client_ca; /* PEM file: whose certificates clients may show; unless they are ignored */
  enum tls_client_verify client_verify;
  enum tls_oldest oldest;
  struct str live; /* a store of certificates that come into force by themselves (tls_live.h); may be empty */
  bool asks;       /* certificates are asked for by name: see tls_wants_certificate */
  bool no_http2, no_http1; /* of ALPN; not both */
};

/* The first certificate of each kind of key is the one for clients without a server name, or with another.
 * NULL: *why is malloc'd and names the file. */
struct tls_context *tls_context_server(const struct tls_server_options *options, char **why);

/* How to connect to peers. Text is borrowed for the call. */
struct tls_client_options {
  struct str ca;               /* PEM file of trusted CAs; empty: the system's store */
  struct str certificate, key; /* PEM files: who we are, for peers that ask; both empty: nobody */
  enum tls_oldest oldest;
  bool no_verify;
  bool no_close_notify; /* a connection that ends without it counts as ended, not as cut */
  bool no_alpn;         /* else http/1.1 is offered, and a peer that chooses something else is refused */
  bool http2, no_http1; /* of ALPN: h2 is offered, too, or alone; then it must be chosen */
};

/* Equal options give the same context, which is also kept while nobody holds it: loading a bundle takes milliseconds,
 * asking again does not. Others wait only where they ask for one that is being loaded. NULL: *why is malloc'd and names
 * the file. */
struct tls_context *tls_context_client(const struct tls_client_options *options, char **why);
/* Loads those kept for peers again whose files have changed (the system's store included), in the calling thread, as
 * new objects. One that cannot be loaded stays as it is, and the log says why, once for each change. Then either
 * of the two ends it. */
struct tls_refresh *tls_refresh_begin(void);
/* How many there were. */
unsigned tls_refresh_commit(struct tls_refresh *refresh);
/* Nothing has changed. NULL is fine. */
void tls_refresh_drop(struct tls_refresh *refresh);
/* Has a file changed? Looks at each, reads none. */
bool tls_refresh_is_due(void);
/* Lets go of those that nobody has held or asked for since the last call. */
void tls_context_forget_unused(void);
/* There is a newer one of the same options by now. */
bool tls_context_is_outdated(const struct tls_context *context);
/* The one of the same options that is in force by now, for who keeps `context` and connects again; takes its
 * reference. */
struct tls_context *tls_context_newest(struct tls_context *context);
/* Lets go of all that are kept for peers: at the end of the process. */
void tls_context_forget_clients(void);

struct tls_context *tls_context_hold(struct tls_context *context);
/* NULL is harmless. */
void tls_context_release(struct tls_context *context);

/* For net/tls. Lives as long as the context, and as the SSLs made from it. */
struct ssl_ctx_st *tls_context_ssl(const struct tls_context *context);
bool tls_context_verifies(const struct tls_context *context);
bool tls_context_offers_http1(const struct tls_context *context);
bool tls_context_offers_http2(const struct tls_context *context);

#endif
