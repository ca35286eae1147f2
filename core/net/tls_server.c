// SPDX-License-Identifier: Apache-2.0
// tls_server: the contexts of listeners, and the choice of the certificate for each client. The SSL_CTX itself has
// the first certificate of each kind of key (ECDSA, RSA), for clients that send no server name or an unknown one; for
// other names the connection gets another certificate during its handshake. The hard problem is a certificate that a
// hook provides: the handshake stops until its owner has the answer.
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/buf.h"
#include "base/memory.h"
#include "net/tls.h"
#include "net/tls_cache.h"
#include "net/tls_identity.h"
#include "net/tls_live.h"
#include "net/tls_parts.h"
#include "net/tls_tickets.h"

enum { CACHED_MOST = 1024 };
/* Of TLS 1.3: each connection gives back the one that it may have used up. One costs a twentieth of a handshake. */
enum { TICKETS = 1 };

/* A name of a certificate; one name may have several, for clients with different abilities. */
struct name {
  char *text;        /* owned; lower case; "*.example.com" stands for one label */
  unsigned identity; /* its number */
};

struct tls_server {
  struct tls_identity **identities; /* owned array of references */
  unsigned count;
  struct name *names; /* owned array; by text, then by identity */
  unsigned name_count;
  struct tls_cache *provided; /* owned; NULL: nobody is asked for certificates */
  struct tls_live *live;      /* reference; NULL: all certificates are known at the start */
};

/* Mozilla's "intermediate" configuration 5.7, without its three DHE suites, which no client needs any more. In our
 * order, cheapest first: all of them are good. A client that prefers ChaCha20, having no instructions for AES,
 * gets it. */
static const char suites[] = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
static const char ciphers[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                              "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                              "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

static const char groups[] = "X25519:P-256:P-384";

static bool load(struct tls_context *context, const struct tls_server_options *options, char **why);
static void collect_names(struct tls_server *server);
static bool use_all(struct tls_context *context, const struct tls_server_options *options, char **why);
static bool verify_clients(SSL_CTX *ssl, const struct tls_server_options *options, char **why);
static int choose_certificate(SSL *ssl, void *unused);
static int check_name(SSL *ssl, int *alert, void *unused);
static void offer_protocols(SSL_CTX *ssl, const struct tls_server_options *options);

/* --- life ---------------------------------------------------------------------------------------------- */

struct tls_context *tls_context_server(const struct tls_server_options *options, char **why) {
  struct tls_context *context = tls_context_new(TLS_server_method());
  SSL_CTX *ssl = context->ssl;
  context->server = memory_zalloc(sizeof *context->server);
  tls_context_set_oldest(context, options->oldest);
  SSL_CTX_set_ciphersuites(ssl, suites);
  SSL_CTX_set_cipher_list(ssl, ciphers);
  SSL_CTX_set1_groups_list(ssl, groups);
  SSL_CTX_set_num_tickets(ssl, TICKETS);
  SSL_CTX_set_options(ssl, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  offer_protocols(ssl, options);
  SSL_CTX_set_cert_cb(ssl, choose_certificate, NULL);
  SSL_CTX_set_tlsext_servername_callback(ssl, check_name);
  SSL_CTX_set_tlsext_status_cb(ssl, tls_staple);
  tls_tickets_use(ssl);
  if (options->asks) context->server->provided = tls_cache_new(CACHED_MOST);
  if (options->live.len) {
    context->server->live = tls_live_get(options->live);
    tls_challenge_accept(ssl);
  }
  if (load(context, options, why)) return context;
  tls_context_release(context);
  return NULL;
}

static bool load(struct tls_context *context, const struct tls_server_options *options, char **why) {
  struct tls_server *server = context->server;
  server->identities = memory_zalloc((options->count + 1) * sizeof *server->identities);
  for (; server->count < options->count; server->count++) {
    struct tls_identity *identity = tls_identity_get(&options->certificates[server->count], why);
    if (!identity) return false;
    server->identities[server->count] = identity;
  }
  collect_names(server);
  return use_all(context, options, why) && verify_clients(context->ssl, options, why);
}

void tls_server_free(struct tls_server *server) {
  if (!server) return;
  for (unsigned i = 0; i < server->name_count; i++) free(server->names[i].text);
  for (unsigned i = 0; i < server->count; i++) tls_identity_release(server->identities[i]);
  tls_cache_free(server->provided);
  tls_live_release(server->live);
  free(server->names);
  free(server->identities);
  free(server);
}

/* --- names --------------------------------------------------------------------------------------------- */

static void add_name(struct tls_server *server, const ASN1_STRING *name, unsigned identity) {
  struct str text = {(const char *)ASN1_STRING_get0_data(name), (size_t)ASN1_STRING_length(name)};
  if (!text.len || text.len >= TLS_NAME || str_find(text, '\0') < text.len) return;
  server->names = memory_realloc(server->names, (server->name_count + 1) * sizeof *server->names);
  char *copy = str_to_cstring(text);
  for (char *c = copy; *c; c++) *c = ascii_lower(*c);
  server->names[server->name_count++] = (struct name){copy, identity};
}

/* The common name counts only where there is no other (RFC 6125 section 6.4.4). */
static void add_names(struct tls_server *server, unsigned identity) {
  X509 *certificate = server->identities[identity]->certificate;
  GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
  X509_NAME *subject = X509_get_subject_name(certificate);
  for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
    if (name->type == GEN_DNS) add_name(server, name->d.dNSName, identity);
  }
  int at = names ? -1 : X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at >= 0) add_name(server, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), identity);
  GENERAL_NAMES_free(names);
}

static int compare(const void *left, const void *right) {
  const struct name *a = left, *b = right;
  int order = strcmp(a->text, b->text);
  if (order) return order;
  return a->identity < b->identity ? -1 : a->identity > b->identity;
}

static int kind_of(const struct tls_identity *identity) { return EVP_PKEY_get_base_id(identity->key); }

static void collect_names(struct tls_server *server) {
  for (unsigned i = 0; i < server->count; i++) add_names(server, i);
  if (server->name_count) qsort(server->names, server->name_count, sizeof *server->names, compare);
}

/* The first entry of that name; NULL: none. */
static const struct name *find_exactly(const struct tls_server *server, const char *text) {
  unsigned from = 0, to = server->name_count;
  while (from < to) {
    unsigned middle = (from + to) / 2;
    if (strcmp(server->names[middle].text, text) < 0)
      from = middle + 1;
    else
      to = middle;
  }
  bool found = from < server->name_count && strcmp(server->names[from].text, text) == 0;
  return found ? &server->names[from] : NULL;
}

static const struct name *find(const struct tls_server *server, const char *text) {
  char wildcard[TLS_NAME + 1];
  const struct name *name = find_exactly(server, text);
  const char *rest = strchr(text, '.');
  if (name || !rest) return name;
  snprintf(wildcard, sizeof wildcard, "*%s", rest);
  return find_exactly(server, wildcard);
}

/* --- giving certificates ------------------------------------------------------------------------------- */

/* Backwards, as of two of a kind the last one set is the one that stays. */
static bool use_all(struct tls_context *context, const struct tls_server_options *options, char **why) {
  for (unsigned i = context->server->count; i-- > 0;) {
    const struct tls_identity *identity = context->server->identities[i];
    if (SSL_CTX_use_cert_and_key(context->ssl, identity->certificate, identity->key, identity->chain, 1) == 1)
      continue;
    char *file = str_to_cstring(options->certificates[i].certificate);
    tls_blame(why, "certificate", file);
    free(file);
    return false;
  }
  return true;
}

static bool use(SSL *ssl, const struct tls_identity *identity) {
  return SSL_use_cert_and_key(ssl, identity->certificate, identity->key, identity->chain, 1) == 1;
}

static bool is_default(const struct tls_server *server, unsigned identity) {
  for (unsigned i = 0; i < identity; i++)
    if (kind_of(server->identities[i]) == kind_of(server->identities[identity])) return false;
  return true;
}

/* All of that name; backwards again. */
static bool use_named(SSL *ssl, const struct tls_server *server, const struct name *first) {
  const struct name *end = first, *limit = server->names + server->name_count;
  bool are_defaults = true, ok = true;
  for (; end < limit && strcmp(end->text, first->text) == 0; end++)
    are_defaults = are_defaults && is_default(server, end->identity);
  if (are_defaults) return true;
  SSL_certs_clear(ssl);
  while (end-- > first) ok = use(ssl, server->identities[end->identity]) && ok;
  return ok;
}

/* What the client named, in lower case and without the final dot; empty: nothing. */
static struct str named(SSL *ssl, char text[TLS_NAME]) {
  struct str name = str_of(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
  if (name.len && name.ptr[name.len - 1] == '.') name.len--;
  if (name.len >= TLS_NAME) name.len = 0;
  for (size_t i = 0; i < name.len; i++) text[i] = ascii_lower(name.ptr[i]);
  text[name.len] = '\0';
  return (struct str){text, name.len};
}

static bool use_own(SSL *ssl, const struct tls_server *server, const char *text) {
  const struct name *name = server->count > 1 ? find(server, text) : NULL;
  return !name || use_named(ssl, server, name);
}

static bool use_provided(SSL *ssl, const struct tls_identity *identity) {
  SSL_certs_clear(ssl);
  return use(ssl, identity);
}

/* What is in force for the name comes first, then what a hook has said of it; else it is to be asked. Who waited for it
 * may find it in force by now. */
static void find_provided(struct tls *tls, struct str name) {
  const struct tls_server *server = tls->context->server;
  bool may_be_live = server->live && !tls->is_challenge && !tls->provided;
  if (may_be_live && (tls->asking == ASKING_NOT || tls->asking == ASKED)) {
    tls->provided = tls_live_find(server->live, name);
    if (tls->provided) tls->asking = ASKED;
  }
  if (!server->provided || tls->asking != ASKING_NOT) return;
  tls->provided = tls->is_challenge ? NULL : tls_cache_get(server->provided, name);
  tls->asking = tls->provided ? ASKED : ASKING;
}

/* 1: go on; 0: refused; -1: the handshake stops here and comes back. Not called for resumed sessions. */
static int choose_certificate(SSL *ssl, void *unused) {
  char text[TLS_NAME];
  struct tls *tls = SSL_get_app_data(ssl);
  const struct tls_server *server = tls->context->server;
  struct str name = named(ssl, text);
  (void)unused;
  find_provided(tls, name);
  if (tls->asking == ASKING) return -1;
  if (!tls->provided && !server->count && server->live && !tls->is_challenge && tls->asking != REFUSED)
    tls->provided = tls_live_find(server->live, STR(""));
  if (tls->asking == REFUSED)
    tls->misuse = "the policy has refused it";
  else if (!tls->provided && (server->count == 0 || tls->is_challenge))
    tls->misuse = "there is no certificate";
  if (tls->misuse) return 0;
  return tls->provided ? use_provided(ssl, tls->provided) : use_own(ssl, server, text);
}

bool tls_wants_certificate(const struct conn *conn) { return conn->tls && conn->tls->asking == ASKING; }

void tls_provide(struct conn *conn, struct tls_identity *identity, unsigned ttl_s) {
  char text[TLS_NAME];
  struct tls *tls = conn->tls;
  if (tls->asking != ASKING) return;
  tls->asking = ASKED;
  if (!identity) return;
  tls->provided = tls_identity_hold(identity);
  if (ttl_s && !tls->is_challenge)
    tls_cache_put(tls->context->server->provided, named(tls->ssl, text), identity, ttl_s);
}

void tls_refuse(struct conn *conn) { conn->tls->asking = REFUSED; }

/* A name that somebody may refuse is not got by resuming the session of another one. */
static int check_name(SSL *ssl, int *alert, void *unused) {
  const struct tls *tls = SSL_get_app_data(ssl);
  (void)unused;
  if (!tls->context->server->provided || !SSL_session_reused(ssl)) return SSL_TLSEXT_ERR_OK;
  const char *before = SSL_SESSION_get0_hostname(SSL_get0_session(ssl));
  const char *now = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (strcasecmp(before ? before : "", now ? now : "") == 0) return SSL_TLSEXT_ERR_OK;
  *alert = SSL_AD_UNRECOGNIZED_NAME;
  return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* --- clients' certificates ------------------------------------------------------------------------------ */

/* A session is resumed only where its client was looked at in the same way: so how, and by whom, is a part of
 * what it belongs to. */
static bool separate_sessions(SSL_CTX *ssl, const struct tls_server_options *options, struct str ca) {
  unsigned char digest[EVP_MAX_MD_SIZE], how = (unsigned char)options->client_verify;
  unsigned length = 0;
  EVP_MD_CTX *hash = EVP_MD_CTX_new();
  EVP_DigestInit_ex(hash, EVP_sha256(), NULL);
  EVP_DigestUpdate(hash, &how, 1);
  EVP_DigestUpdate(hash, ca.ptr, ca.len);
  EVP_DigestFinal_ex(hash, digest, &length);
  EVP_MD_CTX_free(hash);
  return SSL_CTX_set_session_id_context(ssl, digest, SSL_MAX_SID_CTX_LENGTH) == 1;
}

/* The names are what a client is told of whom we trust. */
static bool trust(SSL_CTX *ssl, const struct tls_server_options *options, struct str ca) {
  STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
  /* A file that is named is trusted, even if its certificates are not self-signed roots. */
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ssl), X509_V_FLAG_PARTIAL_CHAIN);
  bool found = tls_trust(ssl, ca, names);
  SSL_CTX_set_client_CA_list(ssl, names);
  return found && separate_sessions(ssl, options, ca);
}

static bool verify_clients(SSL_CTX *ssl, const struct tls_server_options *options, char **why) {
  if (options->client_verify == TLS_CLIENT_IGNORED) return true;
  static const char what[] = "client CA file";
  char *ca = str_to_cstring(options->client_ca);
  struct buf text = {0};
  int force = options->client_verify == TLS_CLIENT_REQUIRED ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0;
  SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | force, NULL);
  bool ok = tls_read_file(what, ca, &text, why) &&
            (trust(ssl, options, buf_str(&text)) || tls_blame(why, what, ca));
  buf_release(&text);
  free(ca);
  return ok;
}

/* --- protocols ------------------------------------------------------------------------------------------- */

/* The first of ours that the client offers (RFC 7301 section 3.2). One that offers others alone is refused: it would
 * speak something else. */
static int choose_protocol(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_length,
                           const unsigned char *offered, unsigned offered_length, void *ours) {
  unsigned char *match;
  const struct str *list = ours;
  if (((const struct tls *)SSL_get_app_data(ssl))->is_challenge) {
    *chosen = (const unsigned char *)tls_challenge_protocol;
    *chosen_length = (unsigned char)strlen(tls_challenge_protocol);
    return SSL_TLSEXT_ERR_OK;
  }
  int found = SSL_select_next_proto(&match, chosen_length, (const unsigned char *)list->ptr,
                                    (unsigned)list->len, offered, offered_length);
  *chosen = match;
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

static void offer_protocols(SSL_CTX *ssl, const struct tls_server_options *options) {
  static const struct str both = STR_INIT("\x02h2\x08http/1.1"), http1 = STR_INIT("\x08http/1.1"),
                          http2 = STR_INIT("\x02h2");
  const struct str *list = options->no_http2 ? &http1 : options->no_http1 ? &http2 : &both;
  SSL_CTX_set_alpn_select_cb(ssl, choose_protocol, (void *)list);
}
