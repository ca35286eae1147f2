// SPDX-License-Identifier: Apache-2.0
// forward: two hooks in C on a backend set that all workers share. It also proves that the proxy does not need Lua
// (invariant I4). Health checks are written in Lua, however: with --health the control worker also loads a policy,
// the checker, which marks backends of the same set and serves no requests. This file controls its whole life.
#include "runtime/forward.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/why.h"
#include "exchange/cache.h"
#include "exchange/codings.h"
#include "exchange/describe.h"
#include "exchange/exchange.h"
#include "exchange/peer.h"
#include "exchange/proxy.h"
#include "net/timer.h"
#include "net/tls_identity.h"
#include "runtime/deploy/inherited.h"
#include "runtime/worker.h"
#include "shared/cache_kept.h"
#include "shared/choose.h"
#include "shared/registry.h"

enum { FORWARD_MAGIC = 0xf04a7d00u };

struct forward {
  OBJ_MAGIC;
  const struct forward_options *options; /* borrowed */
  struct policy_listener *listeners;     /* owned array */
  struct tls_files files;                /* borrowed: what listeners by TLS show */
  struct hooks hooks;
  struct registry *registry;          /* borrowed */
  struct registry_entry *entry;       /* reference */
  struct backends_view *view;         /* of the entry; reference */
  struct registry_entry *cache_entry; /* reference; NULL without a cache */
  struct cache_rules cache;
  void *checker; /* owned: the policy of options->checker; NULL: none here */
};

/* --- hooks ------------------------------------------------------------------------------------------------ */

static enum hook_status upstream_peer(struct exchange *x) {
  const struct forward *f = x->hooks->policy;
  const char *why = NULL;
  CHECK_OBJ(f, FORWARD_MAGIC);
  struct choice choice = {.tried = &x->tried};
  int index = backends_choose(f->view, ALGORITHM_round_robin, &choice);
  if (index == BACKEND_NONE) {
    char refusal[CHOICE_BYTES], request[DESCRIBE_BYTES];
    log_about(LOG_WARN, STR(FORWARD_SET), "%s%s", choice_explain(f->view, &choice, STR(FORWARD_SET), refusal),
              exchange_describe(x, request));
    x->outcome.error = ERROR_NO_BACKEND;
    return HOOK_FAILED;
  }
  struct peer_options options = {.address = backends_at(f->view, (unsigned)index)->address,
                                 .tls = f->options->tls,
                                 .http2 = f->options->http2 && !f->options->tls,
                                 .alpn =
                                     f->options->http2 && f->options->tls ? PEER_ALPN_HTTP2 : PEER_ALPN_HTTP1,
                                 .no_verify = f->options->no_verify,
                                 .ca = f->options->ca};
  x->outcome.peer = peer_intern(x->proxy, &options, &why);
  if (!x->outcome.peer) { /* the file of --ca has gone bad since */
    log_about(LOG_ERROR, options.address, "peer '%.*s': %s", STR_ARG(options.address), why);
    x->outcome.error = ERROR_BAD_PEER;
    return HOOK_FAILED;
  }
  lease_begin(&x->now.lease, f->view, (unsigned)index, loop_now_us(x->proxy->loop));
  tried_add(&x->tried, backends_at(f->view, (unsigned)index)->hash);
  return HOOK_DONE;
}

/* A peer's address as it stands in Host: without the port that its scheme has anyway. Part of `address`; empty for a
 * unix socket. */
static struct str host_of(struct str address, bool tls) {
  struct str port = tls ? STR(":443") : STR(":80");
  if (str_starts_with(address, STR("unix:"))) return (struct str){address.ptr, 0};
  if (address.len > port.len && str_equal(str_from(address, address.len - port.len), port))
    address.len -= port.len;
  return address;
}

static enum hook_status upstream_request_filter(struct exchange *x) {
  struct str host = host_of(x->now.peer->options.address, x->now.peer->options.tls);
  if (host.len) headers_set_id(&x->now.request.headers, FIELD_HOST, host);
  return HOOK_DONE;
}

/* --- life ------------------------------------------------------------------------------------------------- */

static void make_view(struct forward *f, const struct policy_host *host) {
  const struct forward_options *o = f->options;
  CHECK(o->peer_count > 0 && o->peer_count <= FORWARD_PEERS_MOST);
  struct backend_spec *specs = memory_zalloc(o->peer_count * sizeof *specs);
  for (unsigned i = 0; i < o->peer_count; i++) specs[i] = (struct backend_spec){o->peers[i], 1, 0};
  f->registry = host->registry;
  f->entry = registry_get(host->registry, &backends_kind, STR(FORWARD_SET),
                          host->clock ? host->clock : &clock_system);
  backends_name(registry_object(f->entry), STR(FORWARD_SET));
  f->view = backends_view(registry_object(f->entry), specs, o->peer_count, &backend_rules_default, 1);
  free(specs);
}

/* False: there is no memory for it. */
static bool make_cache(struct forward *f, const struct policy_host *host, char **why) {
  struct cache_config config = {.bytes = f->options->cache_bytes, .clock = host->clock};
  config.predecessor = inherited_cache(STR(FORWARD_SET));
  config.has_predecessor = config.predecessor >= 0;
  if (!config.bytes) return true;
  f->cache_entry = registry_get(host->registry, &cache_kind, STR(FORWARD_SET), &config);
  const struct kept_cache *kept = registry_object(f->cache_entry);
  f->cache = cache_rules_default;
  f->cache.cache = kept->cache;
  f->cache.name = STR(FORWARD_SET);
  if (!kept->cache) why_say(why, "--cache: %s", kept->why);
  return kept->cache != NULL;
}

static void make_listeners(struct forward *f) {
  const struct forward_options *o = f->options;
  f->files = (struct tls_files){.certificate = o->certificate, .key = o->key};
  f->hooks = (struct hooks){.upstream_peer = upstream_peer, .policy = f};
  if (o->sends_host) f->hooks.upstream_request_filter = upstream_request_filter;
  f->listeners = memory_zalloc(o->listener_count * sizeof *f->listeners);
  for (unsigned i = 0; i < o->listener_count; i++) {
    struct policy_listener *l = &f->listeners[i];
    *l = (struct policy_listener){.address = o->listeners[i].address,
                                  .settings = settings_default,
                                  .hooks = &f->hooks,
                                  .place = STR("--listen")};
    l->settings.h2c = o->listeners[i].h2c;
    l->settings.trusted_proxies = o->trusted;
    if (o->compresses) l->settings.compression = &compression_default;
    if (f->cache_entry) l->settings.cache = &f->cache;
    if (o->listeners[i].tls) l->tls = (struct tls_server_options){.certificates = &f->files, .count = 1};
  }
}

/* Loads what peers are trusted by where nobody waits: a file of --ca to see that it is one, the system's store so that
 * no request has to. */
static bool load_trust(const struct forward_options *o, const struct policy_host *host, char **why) {
  char *reason = NULL;
  if (!o->tls || o->no_verify || (!o->ca.len && !(host->is_control && !host->is_check))) return true;
  struct tls_client_options wanted = {.ca = o->ca, .http2 = o->http2, .no_http1 = o->http2};
  struct tls_context *context = tls_context_client(&wanted, &reason);
  tls_context_release(context);
  if (!context && o->ca.len) why_say(why, "--ca: %s", reason);
  free(reason);
  return context || !o->ca.len;
}

/* The script of the checker is given up: the worker is told that all of this policy is, which is loaded again then. */
static void on_checker_lost(const struct policy_host *host, const void *checker) {
  struct worker *worker = host->proxy ? host->proxy->owner : NULL;
  struct forward *f = worker && worker->instance ? worker->instance->policy : NULL;
  if (f && f->checker == checker && worker->host.on_lost) worker->host.on_lost(host, f);
}

static void close_policy(void *policy) {
  struct forward *f = policy;
  CHECK_OBJ(f, FORWARD_MAGIC);
  if (f->checker) f->options->checker->close(f->checker);
  backends_view_release(f->view);
  registry_release(f->registry, f->entry);
  if (f->cache_entry) registry_release(f->registry, f->cache_entry);
  free(f->listeners);
  OBJ_END(f, FORWARD_MAGIC);
  free(f);
}

static void *load(const void *source, const struct policy_host *host, char **why) {
  const struct forward_options *options = source;
  if (!load_trust(options, host, why)) return NULL;
  struct forward *f = memory_zalloc(sizeof *f);
  f->options = options;
  OBJ_INIT(f, FORWARD_MAGIC);
  make_view(f, host);
  if (!make_cache(f, host, why)) {
    close_policy(f);
    return NULL;
  }
  make_listeners(f);
  if (!options->health.len || !host->is_control) return f;
  struct policy_host beside = *host;
  beside.is_first = false;
  beside.config = NULL; /* its settings are those of the command line, which are in force */
  beside.on_lost = on_checker_lost;
  f->checker = options->checker->load(options->checks, &beside, why);
  if (f->checker) return f;
  close_policy(f);
  return NULL;
}

static struct policy_listener *listeners(void *policy, unsigned *count) {
  struct forward *f = policy;
  CHECK_OBJ(f, FORWARD_MAGIC);
  *count = f->options->listener_count;
  return f->listeners;
}

static void bind_policy(void *policy, struct ev_loop *loop, struct proxy *proxy) {
  struct forward *f = policy;
  if (f->checker) f->options->checker->bind(f->checker, loop, proxy);
}

static void start(void *policy) {
  struct forward *f = policy;
  CHECK_OBJ(f, FORWARD_MAGIC);
  if (f->checker) f->options->checker->start(f->checker);
}

static void retire(void *policy) {
  struct forward *f = policy;
  CHECK_OBJ(f, FORWARD_MAGIC);
  if (f->checker) f->options->checker->retire(f->checker);
}

static void cut(void *policy) {
  struct forward *f = policy;
  if (f->checker) f->options->checker->cut(f->checker);
}

static size_t memory(void *policy) {
  struct forward *f = policy;
  return f->checker ? f->options->checker->memory(f->checker) : 0;
}

/* What --watch looks at: a certificate that was renewed. */
static char *files(void *policy) {
  const struct forward_options *o = ((struct forward *)policy)->options;
  char *text;
  if (!o->certificate.len) return NULL;
  if (asprintf(&text, "%.*s\n%.*s\n", STR_ARG(o->certificate), STR_ARG(o->key)) < 0) abort();
  return text;
}

static void around_fork(const void *source, bool is_over) {
  const struct forward_options *options = source;
  if (options->health.len) options->checker->fork(options->checks, is_over);
}

const struct policy_kind forward_policy = {.load = load,
                                           .fork = around_fork,
                                           .listeners = listeners,
                                           .bind = bind_policy,
                                           .start = start,
                                           .retire = retire,
                                           .cut = cut,
                                           .files = files,
                                           .memory = memory,
                                           .close = close_policy};
