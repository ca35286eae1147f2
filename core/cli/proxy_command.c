// SPDX-License-Identifier: Apache-2.0
// proxy_command: see proxy_command.h. Addresses may also be URLs, whose scheme says whether TLS is used. The hard
// part is to refuse arguments that would work but are probably not meant (a path in a URL, TLS to only some of the
// peers).
#include "cli/proxy_command.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/memory.h"
#include "base/path.h"
#include "base/size.h"
#include "net/addr.h"
#include "net/cidr.h"
#include "net/tls_context.h"
#include "net/tls_identity.h"
#include "shared/cache.h"

enum { LISTENERS_MOST = 256, PROXIES_MOST = 256, DOMAINS_MOST = 100 };

enum scheme { SCHEME_NONE, SCHEME_HTTP, SCHEME_HTTPS, SCHEME_H2C, SCHEME_H2 };

#define REFUSE(...) (arguments_refuse(COMMAND_PROXY, __VA_ARGS__), false)

/* --- addresses -------------------------------------------------------------------------------------------- */

static bool refuse_address(const char *option, struct str said, const char *why) {
  return REFUSE("%s \"%.*s\": %s", option, STR_ARG(said), why);
}

/* Takes "http://" off, and the "/" at the end of such an address. */
static enum scheme take_scheme(struct str *text) {
  static const struct {
    struct str text;
    enum scheme scheme;
  } all[] = {{STR_INIT("http://"), SCHEME_HTTP},
             {STR_INIT("https://"), SCHEME_HTTPS},
             {STR_INIT("h2c://"), SCHEME_H2C},
             {STR_INIT("h2://"), SCHEME_H2}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    if (!str_take_nocase(text, all[i].text)) continue;
    if (text->len && text->ptr[text->len - 1] == '/') text->len--;
    return all[i].scheme;
  }
  return SCHEME_NONE;
}

/* One that take_scheme does not know. */
static bool refuse_scheme(const char *option, struct str said, struct str text, const char *known) {
  struct str scheme = {text.ptr, str_find(text, ':')}, rest = str_from(text, scheme.len);
  if (!scheme.len || !str_starts_with(rest, STR("://"))) return true;
  return REFUSE("%s \"%.*s\": an address is host:port, without \"%.*s://\", or a URL with %s", option,
                STR_ARG(said), STR_ARG(scheme), known);
}

static bool is_secure(enum scheme scheme) { return scheme == SCHEME_HTTPS || scheme == SCHEME_H2; }

static bool has_port(struct str text) {
  size_t colon = text.len;
  while (colon > 0 && text.ptr[colon - 1] != ':' && text.ptr[colon - 1] != ']') colon--;
  return colon > 0 && text.ptr[colon - 1] == ':';
}

static bool is_port(struct str text) {
  uint64_t port;
  return str_to_u64(text, &port);
}

/* A URL without a port has its scheme's; a port alone, of this machine, gets its host. */
static struct str complete(struct arena *arena, struct str text, enum scheme scheme, bool is_peer) {
  if (is_peer && is_port(text)) return arena_printf(arena, "localhost:%.*s", STR_ARG(text));
  if (is_peer && str_starts_with(text, STR(":"))) return arena_printf(arena, "localhost%.*s", STR_ARG(text));
  if (scheme == SCHEME_NONE || text.len == 0 || has_port(text) || str_find(text, '/') < text.len) return text;
  return arena_printf(arena, "%.*s:%d", STR_ARG(text), is_secure(scheme) ? 443 : 80);
}

static bool add_listener(struct proxy_command *p, struct forward_listener *all, struct str said,
                         bool has_tls) {
  struct addr addr;
  const char *why;
  struct str text = said;
  enum scheme scheme = take_scheme(&text);
  if (scheme == SCHEME_NONE &&
      !refuse_scheme("--listen", said, text, "http://, https:// or h2c:// (HTTP/2 without TLS)"))
    return false;
  text = complete(&p->arena, text, scheme, false);
  if (!addr_parse_listener(text, &addr, &why)) return refuse_address("--listen", said, why);
  if (scheme == SCHEME_H2)
    return refuse_address("--listen", said, "write https://, where clients choose HTTP/2 themselves");
  if (scheme == SCHEME_HTTPS && !has_tls)
    return refuse_address("--listen", said, "TLS needs a certificate: give --tls-cert and --tls-key, too");
  bool is_any_port = addr.kind == ADDR_IP && addr.port == 0;
  for (unsigned i = 0; i < p->options.listener_count && !is_any_port; i++)
    if (str_equal(all[i].address, text)) return refuse_address("--listen", said, "it is listened on already");
  if (p->options.listener_count == LISTENERS_MOST)
    return refuse_address("--listen", said, "too many addresses");
  bool is_plain = scheme == SCHEME_HTTP || scheme == SCHEME_H2C;
  all[p->options.listener_count++] =
      (struct forward_listener){text, .tls = has_tls && !is_plain, .h2c = scheme == SCHEME_H2C};
  return true;
}

/* --domain: all listeners are by TLS but one, where plain requests are sent to https. */
static bool add_domain_listener(struct proxy_command *p, struct forward_listener *all, struct str said) {
  struct forward_options *o = &p->options;
  if (!add_listener(p, all, said, true)) return false;
  const struct forward_listener *last = &all[o->listener_count - 1];
  if (last->tls) return true;
  if (last->h2c) return refuse_address("--listen", said, "with --domain, clients choose HTTP/2 by TLS");
  if (o->acme_http.len) return refuse_address("--listen", said, "with --domain, one address is http://");
  o->acme_http = last->address;
  o->listener_count--;
  return true;
}

static bool add_peer(struct proxy_command *p, struct str *all, struct str said, enum scheme *scheme) {
  struct addr addr;
  const char *why;
  struct str text = said;
  *scheme = take_scheme(&text);
  if (*scheme == SCHEME_NONE &&
      !refuse_scheme("--to", said, text,
                     "http://, https://, h2:// (HTTP/2 by TLS) or h2c:// (HTTP/2 without TLS)"))
    return false;
  text = complete(&p->arena, text, *scheme, true);
  if (*scheme != SCHEME_NONE && str_find(text, '/') < text.len && !str_starts_with(text, STR("unix:")))
    return refuse_address("--to", said, "a peer has no path: it gets the one that the client has asked for");
  if (!addr_parse_peer(text, &addr, &why)) return refuse_address("--to", said, why);
  for (unsigned i = 0; i < p->options.peer_count; i++)
    if (str_equal(all[i], text)) return refuse_address("--to", said, "it is named twice");
  if (p->options.peer_count == FORWARD_PEERS_MOST) return refuse_address("--to", said, "too many addresses");
  all[p->options.peer_count++] = text;
  return true;
}

static bool read_listeners(struct proxy_command *p, const struct arguments *a) {
  struct forward_listener *all = arena_zalloc(&p->arena, LISTENERS_MOST * sizeof *all);
  bool has_tls = a->tls_cert != NULL, any_tls = false;
  p->options.listeners = all;
  for (unsigned i = 0; i < a->listen.count; i++) {
    struct str rest = str_of(a->listen.items[i]), part;
    while (str_split(&rest, ',', &part))
      if (!(a->acme.domain.count ? add_domain_listener(p, all, str_trim(part))
                                 : add_listener(p, all, str_trim(part), has_tls)))
        return false;
  }
  if (a->acme.domain.count && !p->options.listener_count && !add_listener(p, all, STR(":443"), true))
    return false;
  for (unsigned i = 0; i < p->options.listener_count; i++) any_tls |= all[i].tls;
  if (has_tls && !any_tls)
    return REFUSE("--tls-cert is for a listener by TLS, and each --listen says http://");
  return true;
}

static bool read_peers(struct proxy_command *p, const struct arguments *a) {
  struct str *all = arena_zalloc(&p->arena, FORWARD_PEERS_MOST * sizeof *all);
  p->options.peers = all;
  for (unsigned i = 0; i < a->to.count; i++) {
    struct str rest = str_of(a->to.items[i]), part;
    enum scheme scheme;
    while (str_split(&rest, ',', &part)) {
      part = str_trim(part);
      if (!add_peer(p, all, part, &scheme)) return false;
      bool is_http2 = scheme == SCHEME_H2C || scheme == SCHEME_H2, is_first = p->options.peer_count == 1;
      if (!is_first && is_secure(scheme) != p->options.tls)
        return refuse_address("--to", part,
                              "all peers are https://, or none is; a policy can have both: begin with "
                              "what --print-config prints for one of them");
      if (!is_first && is_http2 != p->options.http2)
        return refuse_address("--to", part, "all peers are h2:// or h2c://, or none is");
      p->options.tls = is_secure(scheme);
      p->options.http2 = is_http2;
    }
  }
  return true;
}

/* --- names ------------------------------------------------------------------------------------------------ */

static bool is_name(struct str text) {
  bool is_fit = text.len > 2 && text.len < 254 && str_find(text, '.') < text.len && text.ptr[0] != '.';
  for (size_t i = 0; i < text.len; i++)
    is_fit = is_fit && (isalnum((unsigned char)text.ptr[i]) || strchr("-._", text.ptr[i]));
  return is_fit;
}

static bool read_domains(struct proxy_command *p, const struct arguments *a) {
  struct forward_options *o = &p->options;
  struct str *all = arena_zalloc(&p->arena, DOMAINS_MOST * sizeof *all);
  o->domains = all;
  o->email = str_of(a->acme.email);
  o->acme_directory = str_of(a->acme.directory);
  o->staging = a->acme.staging;
  for (unsigned i = 0; i < a->acme.domain.count; i++) {
    struct str rest = str_of(a->acme.domain.items[i]), part;
    while (str_split(&rest, ',', &part)) {
      part = str_trim(part);
      if (!is_name(part))
        return REFUSE("--domain wants a name such as example.org, not '%.*s'", STR_ARG(part));
      if (o->domain_count == DOMAINS_MOST) return REFUSE("too many times --domain: %d at most", DOMAINS_MOST);
      all[o->domain_count++] = part;
    }
  }
  if (!o->domain_count && (a->acme.email || a->acme.directory || a->acme.staging))
    return REFUSE("--email, --staging and --acme-directory belong to --domain");
  if (a->acme.directory && a->acme.staging) return REFUSE("--staging and --acme-directory: give one");
  return !o->domain_count || !a->tls_cert ||
         REFUSE("--domain gets certificates, and --tls-cert names one: give one of them");
}

/* --- files and the path ----------------------------------------------------------------------------------- */

/* The file's name becomes absolute. */
static bool take_file(struct proxy_command *p, const char *option, const char *name, struct str *file) {
  if (!name) return true;
  if (access(name, R_OK) != 0) return REFUSE("%s %s: %s", option, name, strerror(errno));
  char *whole = path_absolute(name);
  *file = str_of(arena_cstring(&p->arena, str_of(whole)));
  free(whole);
  return true;
}

static bool read_files(struct proxy_command *p, const struct arguments *a) {
  return arguments_check_tls(a, COMMAND_PROXY) &&
         take_file(p, "--tls-cert", a->tls_cert, &p->options.certificate) &&
         take_file(p, "--tls-key", a->tls_key, &p->options.key) &&
         take_file(p, "--ca", a->peers.ca, &p->options.ca);
}

/* What is wrong with the files, by the options that name them. */
static bool check_certificate(const struct proxy_command *p, const struct arguments *a) {
  const struct tls_files files = {.certificate = p->options.certificate, .key = p->options.key};
  char *reason = NULL;
  if (!a->tls_cert) return true;
  struct tls_context *context =
      tls_context_server(&(struct tls_server_options){.certificates = &files, .count = 1}, &reason);
  bool fine = context != NULL, is_key = !fine && strncmp(reason, "key ", 4) == 0;
  if (fine)
    tls_context_release(context);
  else if (is_key && strstr(reason, ": it does not belong to "))
    arguments_refuse(COMMAND_PROXY, "--tls-key %s does not belong to --tls-cert %s", a->tls_key, a->tls_cert);
  else if (is_key)
    arguments_refuse(COMMAND_PROXY, "--tls-key %s", reason + 4);
  else
    arguments_refuse(COMMAND_PROXY, "--tls-cert %s",
                     strncmp(reason, "certificate ", 12) == 0 ? reason + 12 : reason);
  free(reason);
  return fine;
}

static bool read_proxies(struct proxy_command *p, const struct arguments *a) {
  struct str *all = arena_zalloc(&p->arena, PROXIES_MOST * sizeof *all);
  const char *why;
  p->options.trusted_proxies = all;
  if (a->trusted_proxies.count) p->options.trusted = p->networks = cidr_set_new();
  for (unsigned i = 0; i < a->trusted_proxies.count; i++) {
    struct str rest = str_of(a->trusted_proxies.items[i]), part;
    while (str_split(&rest, ',', &part)) {
      part = str_trim(part);
      if (!cidr_set_add(p->networks, part, &why)) return refuse_address("--trusted-proxies", part, why);
      if (p->options.trusted_count == PROXIES_MOST)
        return refuse_address("--trusted-proxies", part, "too many networks");
      all[p->options.trusted_count++] = part;
    }
  }
  if (p->networks) cidr_set_seal(p->networks);
  return true;
}

static bool read_health(struct proxy_command *p, const struct arguments *a) {
  p->options.health = str_of(a->health);
  if (!a->health) return true;
  bool is_path = a->health[0] == '/';
  for (const char *c = a->health; *c; c++) is_path = is_path && isgraph((unsigned char)*c) && *c != '#';
  return is_path || REFUSE("--health wants a path such as /health, not '%s'", a->health);
}

static bool read_cache(struct proxy_command *p, const struct arguments *a) {
  uint64_t bytes = 0;
  if (!a->cache) return true;
  if (!size_parse(str_of(a->cache), &bytes) || bytes < CACHE_LEAST_BYTES)
    return REFUSE("--cache wants " SIZE_WORDS ", of at least 1M, not '%s'", a->cache);
  if (bytes > memory_half())
    return REFUSE("--cache: size must be from 1 MiB to half of the machine's memory, %llu MiB; got '%s'",
                  (unsigned long long)(memory_half() >> 20), a->cache);
  p->options.cache_bytes = (size_t)bytes;
  return true;
}

static bool check_together(struct proxy_command *p, const struct arguments *a) {
  p->options.no_verify = a->peers.insecure;
  p->options.sends_host = a->peers.change_host;
  p->options.compresses = a->compress;
  if (a->health && p->options.http2)
    return REFUSE("--health asks by HTTP/1.1, which peers of h2:// and h2c:// may not speak: leave it away");
  if (a->peers.ca && a->peers.insecure)
    return REFUSE("--ca says whom to trust, and --insecure-skip-verify trusts everybody: give one");
  if (p->options.tls) return true;
  if (a->peers.ca) return REFUSE("--ca is for peers by TLS, and no --to begins with https://");
  return !a->peers.insecure ||
         REFUSE("--insecure-skip-verify is for peers by TLS, and no --to begins with https://");
}

/* A proxy that is its own peer asks itself until descriptors run out. */
static bool refuse_itself(const struct proxy_command *p) {
  struct addr to, at;
  const char *why;
  const struct forward_options *o = &p->options;
  for (unsigned i = 0; i < o->peer_count; i++)
    for (unsigned k = 0; k < o->listener_count; k++)
      if (addr_parse_peer(o->peers[i], &to, &why) &&
          addr_parse_listener(o->listeners[k].address, &at, &why) && addr_reaches(&to, &at))
        return refuse_address("--to", o->peers[i], "is also a --listen: the proxy would ask itself");
  return true;
}

bool proxy_command_read(struct proxy_command *p, const struct arguments *a) {
  *p = (struct proxy_command){0};
  arena_init(&p->arena);
  if (!a->listen.count && !a->acme.domain.count) return REFUSE("proxy wants --listen ADDR: where to listen");
  if (!a->to.count) return REFUSE("proxy wants --to ADDR: where to forward to");
  bool fine = read_files(p, a) && read_domains(p, a) && read_listeners(p, a) && read_peers(p, a) &&
              read_proxies(p, a) && read_health(p, a) && read_cache(p, a) && check_together(p, a) &&
              refuse_itself(p) && check_certificate(p, a);
  CHECK(!fine ||
        (p->options.listener_count && p->options.peer_count)); /* an address is refused, or counted */
  return fine;
}

void proxy_command_free(struct proxy_command *p) {
  cidr_set_free(p->networks);
  arena_free(&p->arena);
}
