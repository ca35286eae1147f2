// SPDX-License-Identifier: Apache-2.0
// tls_client: the contexts of peers. The hard problem is that a context with the system's authorities is expensive
// (it may load a bundle of 140 certificates), while peers are made per request. So contexts are kept in a
// process-wide list, which holds a reference like every other user. No file is read under its lock: a context is in
// the list while it is being loaded, and only those that need the same context wait for it. If files have changed,
// new contexts are made separately, and replace the old ones when that is put in force.
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/safe_file.h"
#include "base/why.h"
#include "net/tls_identity.h"
#include "net/tls_parts.h"

enum { CONTEXTS_MOST = 256 }; /* in the list, but for those that somebody holds */

enum stage { LOADING, LOADED, FAILED };

struct tls_client {
  struct tls_client_options options; /* text owned */
  _Atomic uint64_t files;   /* fingerprint: as they were when it was made, or last failed to be made again */
  uint64_t trust;           /* the same of those of trust alone */
  struct tls_context *next; /* owned by the list: the newest first; guarded by `lock`, as what follows */
  enum stage stage;
  bool was_wanted; /* since the last generation came into force */
  atomic_bool is_outdated;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t loaded = PTHREAD_COND_INITIALIZER; /* or failed */
static struct tls_context *contexts;                     /* holds one reference each; guarded by `lock` */

static bool load(struct tls_context *context, char **why);
static bool load_identity(SSL_CTX *ssl, const struct tls_client_options *o, char **why);
static bool load_trust(SSL_CTX *ssl, const struct tls_client *client, char **why);
static X509_STORE *share_trust(const struct tls_client *client);

/* --- life --------------------------------------------------------------------------------------------- */

static uint64_t look_at_trust(const struct tls_client_options *o) {
  bool is_systems = o->ca.len == 0;
  uint64_t hash = file_fingerprint(0, is_systems ? X509_get_default_cert_file() : o->ca.ptr);
  return file_fingerprint(hash, is_systems ? X509_get_default_cert_dir() : "");
}

static uint64_t look_at_files(const struct tls_client_options *o) {
  return file_fingerprint(file_fingerprint(look_at_trust(o), o->certificate.ptr), o->key.ptr);
}

/* Not loaded so far. */
static struct tls_context *make(const struct tls_client_options *options) {
  struct tls_context *context = tls_context_new(TLS_client_method());
  struct tls_client *client = memory_zalloc(sizeof *client);
  context->client = client;
  client->options = *options;
  client->options.ca = str_own(options->ca);
  client->options.certificate = str_own(options->certificate);
  client->options.key = str_own(options->key);
  return context;
}

static void offer_protocols(SSL_CTX *ssl, const struct tls_client_options *o) {
  static const unsigned char both[] = "\x02h2\x08http/1.1";
  const unsigned char *first = o->http2 ? both : both + 3;
  unsigned length = (o->http2 ? 3 : 0) + (o->no_http1 ? 0 : 9);
  if (!o->no_alpn) SSL_CTX_set_alpn_protos(ssl, first, length);
}

static bool load(struct tls_context *context, char **why) {
  const struct tls_client_options *o = &context->client->options;
  SSL_CTX *ssl = context->ssl;
  context->client->trust = look_at_trust(o);
  atomic_store(&context->client->files, look_at_files(o));
  tls_context_set_oldest(context, o->oldest);
  SSL_CTX_set_verify(ssl, o->no_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
  if (o->no_close_notify) SSL_CTX_set_options(ssl, SSL_OP_IGNORE_UNEXPECTED_EOF);
  offer_protocols(ssl, o);
  /* Sessions are the peer's to keep: one must never be resumed towards another. */
  SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(ssl, tls_keep_session);
  if (o->certificate.len && !load_identity(ssl, o, why)) return false;
  return o->no_verify || load_trust(ssl, context->client, why);
}

static bool load_identity(SSL_CTX *ssl, const struct tls_client_options *o, char **why) {
  struct tls_files files = {.certificate = o->certificate, .key = o->key};
  struct tls_identity *i = tls_identity_get(&files, why);
  bool ok = i && (SSL_CTX_use_cert_and_key(ssl, i->certificate, i->key, i->chain, 1) == 1 ||
                  tls_blame(why, "certificate", o->certificate.ptr));
  tls_identity_release(i);
  return ok;
}

static bool trust_file(SSL_CTX *ssl, const char *ca, char **why) {
  struct buf text = {0};
  bool ok = tls_read_file("CA file", ca, &text, why) &&
            (tls_trust(ssl, buf_str(&text), NULL) || tls_blame(why, "CA file", ca));
  buf_release(&text);
  return ok;
}

/* The environment may name another file, in SSL_CERT_FILE. A system without a store trusts nobody: the handshakes say
 * so. */
static bool trust_system(SSL_CTX *ssl, char **why) {
  const char *named = secure_getenv(X509_get_default_cert_file_env());
  int fd = safe_open_to_read(named ? named : X509_get_default_cert_file());
  if (fd < 0 && (errno == ENOTSUP || errno == EISDIR))
    return why_say(why, "CA file %s: %s", named ? named : X509_get_default_cert_file(), safe_reason(errno));
  if (fd >= 0) close(fd);
  SSL_CTX_set_default_verify_paths(ssl);
  return true;
}

static bool load_trust(SSL_CTX *ssl, const struct tls_client *client, char **why) {
  const char *ca = client->options.ca.ptr;
  X509_STORE *shared = share_trust(client);
  /* A file that is named is trusted, even if its certificates are not self-signed roots. */
  if (*ca) X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ssl), X509_V_FLAG_PARTIAL_CHAIN);
  if (shared) {
    SSL_CTX_set_cert_store(ssl, shared);
    return true;
  }
  return *ca ? trust_file(ssl, ca, why) : trust_system(ssl, why);
}

void tls_client_free(struct tls_client *client) {
  if (!client) return;
  free((void *)client->options.ca.ptr);
  free((void *)client->options.certificate.ptr);
  free((void *)client->options.key.ptr);
  free(client);
}

bool tls_context_verifies(const struct tls_context *context) { return !context->client->options.no_verify; }
bool tls_context_offers_http1(const struct tls_context *context) {
  return !context->client->options.no_alpn && !context->client->options.no_http1;
}
bool tls_context_offers_http2(const struct tls_context *context) { return context->client->options.http2; }

/* --- the list ------------------------------------------------------------------------------------------ */

static bool is_same(const struct tls_client_options *a, const struct tls_client_options *b) {
  return a->oldest == b->oldest && a->no_verify == b->no_verify && a->no_alpn == b->no_alpn &&
         a->http2 == b->http2 && a->no_http1 == b->no_http1 && a->no_close_notify == b->no_close_notify &&
         str_equal(a->ca, b->ca) && str_equal(a->certificate, b->certificate) && str_equal(a->key, b->key);
}

/* What follows is under the lock, where a function does not take it. */
static struct tls_context *find(const struct tls_client_options *options) {
  for (struct tls_context *context = contexts; context; context = context->client->next)
    if (context->client->stage != FAILED && is_same(&context->client->options, options)) return context;
  return NULL;
}

static struct tls_context **place_of(const struct tls_context *context) {
  struct tls_context **at = &contexts;
  while (*at && *at != context) at = &(*at)->client->next;
  return at;
}

static void take_out(struct tls_context **at) {
  struct tls_context *context = *at;
  *at = context->client->next;
  context->client->next = NULL;
  tls_context_release(context);
}

/* Only the list holds it: nobody can get hold of it meanwhile, as that takes the lock. */
static bool is_unused(const struct tls_context *context) {
  return atomic_load(&context->references) == 1 && context->client->stage == LOADED;
}

/* The oldest that nobody holds make room. */
static void keep_bound(void) {
  unsigned count = 0;
  for (struct tls_context **at = &contexts; *at;) {
    if (++count > CONTEXTS_MOST && is_unused(*at))
      take_out(at);
    else
      at = &(*at)->client->next;
  }
}

static struct tls_context *add(const struct tls_client_options *options) {
  struct tls_context *context = make(options);
  context->client->next = contexts;
  contexts = context;
  keep_bound();
  return context;
}

/* Waits for the thread that loads it. NULL: that failed; the caller tries itself, and gets the reason. */
static struct tls_context *await(struct tls_context *context) {
  while (context->client->stage == LOADING) pthread_cond_wait(&loaded, &lock);
  if (context->client->stage == LOADED) return context;
  tls_context_release(context);
  return NULL;
}

/* Lets go of the lock meanwhile. */
static struct tls_context *load_in_list(struct tls_context *context, char **why) {
  pthread_mutex_unlock(&lock);
  bool fine = load(context, why);
  pthread_mutex_lock(&lock);
  context->client->stage = fine ? LOADED : FAILED;
  pthread_cond_broadcast(&loaded);
  if (fine) return context;
  struct tls_context **at = place_of(context);
  if (*at) take_out(at);
  tls_context_release(context);
  return NULL;
}

struct tls_context *tls_context_client(const struct tls_client_options *options, char **why) {
  struct tls_context *context;
  pthread_mutex_lock(&lock);
  do {
    bool is_known = (context = find(options)) != NULL;
    if (!is_known) context = add(options);
    context->client->was_wanted = true;
    tls_context_hold(context);
    context = is_known ? await(context) : load_in_list(context, why);
    if (!is_known) break;
  } while (!context);
  pthread_mutex_unlock(&lock);
  return context;
}

/* --- files that change --------------------------------------------------------------------------------------- */

static bool has_changed(const struct tls_client *client) {
  return look_at_files(&client->options) != atomic_load(&client->files);
}

/* The store of another context that was made of the same files, which is most of the work; a reference, or NULL. */
static X509_STORE *share_trust(const struct tls_client *client) {
  X509_STORE *store = NULL;
  pthread_mutex_lock(&lock);
  for (struct tls_context *at = contexts; at && !store; at = at->client->next) {
    const struct tls_client *other = at->client;
    if (other->stage != LOADED || other->options.no_verify ||
        !str_equal(other->options.ca, client->options.ca))
      continue;
    if (other->trust == client->trust) store = SSL_CTX_get_cert_store(at->ssl);
  }
  if (store) X509_STORE_up_ref(store);
  pthread_mutex_unlock(&lock);
  return store;
}

struct pair {
  struct tls_context *old, *fresh; /* references; fresh NULL: nothing to do */
};

struct tls_refresh {
  struct pair *pairs; /* owned array */
  unsigned count;
};

/* References to all that are loaded. */
static struct tls_refresh *hold_all(void) {
  struct tls_refresh *r = memory_zalloc(sizeof *r);
  pthread_mutex_lock(&lock);
  for (struct tls_context *context = contexts; context; context = context->client->next) {
    if (context->client->stage != LOADED) continue;
    r->pairs = memory_realloc(r->pairs, (r->count + 1) * sizeof *r->pairs);
    r->pairs[r->count++] = (struct pair){tls_context_hold(context), NULL};
  }
  pthread_mutex_unlock(&lock);
  return r;
}

static struct tls_context *load_anew(struct tls_context *old) {
  char *why = NULL;
  uint64_t seen = look_at_files(&old->client->options);
  struct tls_context *fresh = make(&old->client->options);
  fresh->client->stage = LOADED;
  if (load(fresh, &why)) return fresh;
  log_about(LOG_ERROR, str_of(why), "TLS to peers: %s; what was loaded before stays in use", why);
  free(why);
  atomic_store(&old->client->files, seen); /* that is told once, and tried again when they change again */
  tls_context_release(fresh);
  return NULL;
}

struct tls_refresh *tls_refresh_begin(void) {
  struct tls_refresh *r = hold_all();
  for (unsigned i = 0; i < r->count; i++)
    if (has_changed(r->pairs[i].old->client)) r->pairs[i].fresh = load_anew(r->pairs[i].old);
  return r;
}

/* Another one may have taken its place, or nobody may have wanted it any more, since. */
static bool replace(struct pair *pair) {
  struct tls_context **at = place_of(pair->old);
  if (!pair->fresh || !*at) return false;
  struct tls_context *old = pair->old, *fresh = tls_context_hold(pair->fresh);
  fresh->client->next = old->client->next;
  fresh->client->was_wanted = old->client->was_wanted;
  old->client->next = NULL;
  *at = fresh;
  atomic_store_explicit(&old->client->is_outdated, true, memory_order_relaxed);
  tls_context_release(old);
  return true;
}

void tls_refresh_drop(struct tls_refresh *r) {
  if (!r) return;
  for (unsigned i = 0; i < r->count; i++) {
    tls_context_release(r->pairs[i].old);
    tls_context_release(r->pairs[i].fresh);
  }
  free(r->pairs);
  free(r);
}

unsigned tls_refresh_commit(struct tls_refresh *r) {
  unsigned replaced = 0;
  pthread_mutex_lock(&lock);
  for (unsigned i = 0; i < r->count; i++) replaced += replace(&r->pairs[i]);
  pthread_mutex_unlock(&lock);
  tls_refresh_drop(r);
  return replaced;
}

/* A reference to the one at that place of the list, or NULL: behind its end. */
static struct tls_context *hold_one(unsigned place) {
  pthread_mutex_lock(&lock);
  struct tls_context *context = contexts;
  while (context && place--) context = context->client->next;
  if (context) tls_context_hold(context);
  pthread_mutex_unlock(&lock);
  return context;
}

/* One at a time: files are not looked at under the lock, and it is asked too often to allocate anything. */
bool tls_refresh_is_due(void) {
  struct tls_context *context;
  bool is_due = false;
  for (unsigned place = 0; !is_due && (context = hold_one(place)); place++) {
    pthread_mutex_lock(&lock);
    bool is_loaded = context->client->stage == LOADED;
    pthread_mutex_unlock(&lock);
    is_due = is_loaded && has_changed(context->client);
    tls_context_release(context);
  }
  return is_due;
}

void tls_context_forget_unused(void) {
  pthread_mutex_lock(&lock);
  for (struct tls_context **at = &contexts; *at;) {
    struct tls_client *client = (*at)->client;
    if (!client->was_wanted && is_unused(*at)) {
      take_out(at);
      continue;
    }
    client->was_wanted = false;
    at = &client->next;
  }
  pthread_mutex_unlock(&lock);
}

bool tls_context_is_outdated(const struct tls_context *context) {
  return atomic_load_explicit(&context->client->is_outdated, memory_order_relaxed);
}

struct tls_context *tls_context_newest(struct tls_context *context) {
  char *why = NULL;
  if (!tls_context_is_outdated(context)) return context;
  struct tls_context *fresh = tls_context_client(&context->client->options, &why);
  free(why);
  if (!fresh) return context;
  tls_context_release(context);
  return fresh;
}

void tls_context_forget_clients(void) {
  pthread_mutex_lock(&lock);
  while (contexts) take_out(&contexts);
  pthread_mutex_unlock(&lock);
}
