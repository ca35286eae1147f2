// SPDX-License-Identifier: Apache-2.0
// tls_client: the contexts of peers. The one hard problem is that a context with the system's store is dear
// (it may load a bundle of 140 certificates) while peers are made per request: so contexts are kept in a
// process-wide list, which is a holder like any other, and a reload makes anew only those whose files have
// changed.
#include <openssl/err.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/memory.h"
#include "net/tls_parts.h"

enum { FILES = 4 }; /* that a context is made of */

struct tls_client {
  struct tls_client_options options; /* text owned */
  struct stat files[FILES];          /* as they were when it was made */
  struct tls_context *next;          /* owned by the list */
  atomic_bool is_outdated;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct tls_context *contexts; /* holds one reference each; guarded by `lock` */

static bool load(struct tls_context *context, char **why);
static bool load_identity(SSL_CTX *ssl, const struct tls_client_options *o, char **why);
static bool load_trust(SSL_CTX *ssl, const char *ca, char **why);

/* --- life --------------------------------------------------------------------------------------------- */

static struct str own(struct str text) { return (struct str){str_to_cstring(text), text.len}; }

static void look_at_files(const struct tls_client_options *o, struct stat files[FILES]) {
  bool is_systems = o->ca.len == 0;
  const char *names[FILES] = {is_systems ? X509_get_default_cert_file() : o->ca.ptr,
                              is_systems ? X509_get_default_cert_dir() : "", o->certificate.ptr, o->key.ptr};
  memset(files, 0, FILES * sizeof *files);
  for (int i = 0; i < FILES; i++)
    if (stat(names[i], &files[i]) != 0) memset(&files[i], 0, sizeof files[i]);
}

static struct tls_context *make(const struct tls_client_options *options, char **why) {
  struct tls_context *context = tls_context_new(TLS_client_method());
  struct tls_client *client = memory_zalloc(sizeof *client);
  context->client = client;
  client->options = *options;
  client->options.ca = own(options->ca);
  client->options.certificate = own(options->certificate);
  client->options.key = own(options->key);
  look_at_files(&client->options, client->files);
  if (load(context, why)) return context;
  tls_context_release(context);
  return NULL;
}

static bool load(struct tls_context *context, char **why) {
  const struct tls_client_options *o = &context->client->options;
  SSL_CTX *ssl = context->ssl;
  tls_context_set_oldest(context, o->oldest);
  SSL_CTX_set_verify(ssl, o->no_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
  if (!o->no_alpn) SSL_CTX_set_alpn_protos(ssl, (const unsigned char *)"\x08http/1.1", 9);
  /* Sessions are the peer's to keep: one must never be resumed towards another. */
  SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(ssl, tls_keep_session);
  if (o->certificate.len && !load_identity(ssl, o, why)) return false;
  return o->no_verify || load_trust(ssl, o->ca.ptr, why);
}

static bool load_identity(SSL_CTX *ssl, const struct tls_client_options *o, char **why) {
  struct tls_files files = {.certificate = o->certificate, .key = o->key};
  struct tls_identity *i = tls_identity_load(&files, why);
  bool ok = i && (SSL_CTX_use_cert_and_key(ssl, i->certificate, i->key, i->chain, 1) == 1 ||
                  tls_blame(why, "certificate", o->certificate.ptr));
  tls_identity_release(i);
  return ok;
}

static bool load_trust(SSL_CTX *ssl, const char *ca, char **why) {
  if (!*ca) {
    SSL_CTX_set_default_verify_paths(ssl); /* a system without a store trusts nobody: the handshakes say so */
    return true;
  }
  /* Whoever names a file trusts what is in it, be it no root. */
  X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ssl), X509_V_FLAG_PARTIAL_CHAIN);
  return SSL_CTX_load_verify_file(ssl, ca) == 1 || tls_blame(why, "CA file", ca);
}

void tls_client_free(struct tls_client *client) {
  if (!client) return;
  free((void *)client->options.ca.ptr);
  free((void *)client->options.certificate.ptr);
  free((void *)client->options.key.ptr);
  free(client);
}

bool tls_context_verifies(const struct tls_context *context) { return !context->client->options.no_verify; }
bool tls_context_offers_http1(const struct tls_context *context) { return !context->client->options.no_alpn; }

/* --- the list ------------------------------------------------------------------------------------------ */

static bool is_same(const struct tls_client_options *a, const struct tls_client_options *b) {
  return a->oldest == b->oldest && a->no_verify == b->no_verify && a->no_alpn == b->no_alpn &&
         str_equal(a->ca, b->ca) && str_equal(a->certificate, b->certificate) && str_equal(a->key, b->key);
}

static struct tls_context *find(const struct tls_client_options *options) {
  for (struct tls_context *context = contexts; context; context = context->client->next)
    if (is_same(&context->client->options, options)) return context;
  return NULL;
}

/* Made under the lock, so that workers which start together load the store once. */
struct tls_context *tls_context_client(const struct tls_client_options *options, char **why) {
  pthread_mutex_lock(&lock);
  struct tls_context *context = find(options);
  if (!context && (context = make(options, why))) {
    context->client->next = contexts;
    contexts = context;
  }
  if (context) tls_context_hold(context);
  pthread_mutex_unlock(&lock);
  return context;
}

static bool has_changed(const struct tls_client *client) {
  struct stat now[FILES];
  look_at_files(&client->options, now);
  for (int i = 0; i < FILES; i++) {
    const struct stat *then = &client->files[i];
    if (now[i].st_ino != then->st_ino || now[i].st_size != then->st_size ||
        now[i].st_mtim.tv_sec != then->st_mtim.tv_sec || now[i].st_mtim.tv_nsec != then->st_mtim.tv_nsec)
      return true;
  }
  return false;
}

/* Puts a new one in the place of *at, if it can be made. */
static void refresh(struct tls_context **at) {
  char *why = NULL;
  struct tls_context *old = *at, *fresh = make(&old->client->options, &why);
  if (!fresh) {
    log_error("TLS to peers: %s; what was loaded before stays in use", why);
    free(why);
    return;
  }
  fresh->client->next = old->client->next;
  *at = fresh;
  atomic_store_explicit(&old->client->is_outdated, true, memory_order_relaxed);
  tls_context_release(old);
}

void tls_context_refresh_clients(void) {
  pthread_mutex_lock(&lock);
  for (struct tls_context **at = &contexts; *at; at = &(*at)->client->next)
    if (has_changed((*at)->client)) refresh(at);
  pthread_mutex_unlock(&lock);
}

bool tls_context_is_outdated(const struct tls_context *context) {
  return atomic_load_explicit(&context->client->is_outdated, memory_order_relaxed);
}

void tls_context_forget_clients(void) {
  pthread_mutex_lock(&lock);
  struct tls_context *context = contexts;
  contexts = NULL;
  pthread_mutex_unlock(&lock);
  while (context) {
    struct tls_context *next = context->client->next;
    tls_context_release(context);
    context = next;
  }
}
