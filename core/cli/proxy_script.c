// SPDX-License-Identifier: Apache-2.0
// proxy_script: one function for each block of lines; options that were not given add no lines.
#include "cli/proxy_script.h"

#include <stdio.h>

#include "base/escape.h"

static void put_text(FILE *out, struct str text) {
  fputc('"', out);
  escape_lua(out, text);
  fputc('"', out);
}

/* { "a", "b" } */
static void put_list(FILE *out, const struct str *items, unsigned count) {
  fputs("{ ", out);
  for (unsigned i = 0; i < count; i++) {
    if (i) fputs(", ", out);
    put_text(out, items[i]);
  }
  fputs(" }", out);
}

static void put_modules(FILE *out, const struct forward_options *o) {
  fputs("local perilune = require \"perilune\"\n", out);
  if (o->health.len) fputs("local health_check = require \"perilune.health_check\"\n", out);
  fputs("local round_robin = require \"perilune.round_robin\"\n\n", out);
}

static void put_peers(FILE *out, const struct forward_options *o) {
  fputs("local upstreams = round_robin.new {\n", out);
  for (unsigned i = 0; i < o->peer_count; i++) {
    fputs("  ", out);
    put_text(out, o->peers[i]);
    fputs(",\n", out);
  }
  fputs("  name = \"" FORWARD_SET "\",\n}\n", out);
}

/* What peers and checks have in common. */
static void put_tls(FILE *out, const struct forward_options *o) {
  if (o->tls) fputs(", tls = true", out);
  if (o->http2) fputs(o->tls ? ", alpn = \"h2\"" : ", http2 = true", out);
  if (o->no_verify) fputs(", verify = false", out);
  if (!o->ca.len) return;
  fputs(", ca = ", out);
  put_text(out, o->ca);
}

static void put_checks(FILE *out, const struct forward_options *o) {
  if (!o->health.len) return;
  fputs("health_check.http(upstreams, { path = ", out);
  put_text(out, o->health);
  put_tls(out, o);
  fputs(" })\n", out);
}

static void put_hooks(FILE *out, const struct forward_options *o) {
  fputs("\nlocal policy = {}\n\nfunction policy.upstream_peer()\n  return { address = upstreams:select()",
        out);
  put_tls(out, o);
  fputs(" }\nend\n", out);
  if (!o->sends_host) return;
  fprintf(out,
          "\nfunction policy.upstream_request_filter(session, request)\n"
          "  local host = session:peer_address():gsub(\":%s$\", \"\")\n"
          "  if not host:find \"^unix:\" then request:set_header(\"Host\", host) end\nend\n",
          o->tls ? "443" : "80");
}

static void put_named(FILE *out, const char *name, struct str text) {
  if (!text.len) return;
  fprintf(out, ", %s = ", name);
  put_text(out, text);
}

static void put_acme(FILE *out, const struct forward_options *o) {
  fputs("{ domains = ", out);
  put_list(out, o->domains, o->domain_count);
  put_named(out, "email", o->email);
  put_named(out, "directory", o->acme_directory);
  put_named(out, "http", o->acme_http);
  if (o->staging) fputs(", staging = true", out);
  fputs(" }", out);
}

static const char opening[] = ", { ";

/* Begins an option: behind the opening of the table, or behind the one before. */
static void put_option(FILE *out, const char **before, const char *text) {
  fprintf(out, "%s%s", *before, text);
  *before = ", ";
}

static void put_options(FILE *out, const struct forward_options *o, const struct forward_listener *l) {
  const char *before = opening;
  if (o->domain_count) {
    put_option(out, &before, "acme = ");
    put_acme(out, o);
  } else if (l->tls) {
    put_option(out, &before, "certificate = ");
    put_text(out, o->certificate);
    put_named(out, "key", o->key);
  }
  if (l->h2c) put_option(out, &before, "h2c = true");
  if (o->compresses) put_option(out, &before, "compress = true");
  if (o->cache_bytes) put_option(out, &before, "cache = cache");
  if (o->trusted_count) {
    put_option(out, &before, "trusted_proxies = ");
    put_list(out, o->trusted_proxies, o->trusted_count);
  }
  if (before != opening) fputs(" }", out);
}

static void put_cache(FILE *out, const struct forward_options *o) {
  if (o->cache_bytes)
    fprintf(out, "\nlocal cache = perilune.cache(\"" FORWARD_SET "\", { size = %zu })\n", o->cache_bytes);
}

static void put_listeners(FILE *out, const struct forward_options *o) {
  fputc('\n', out);
  for (unsigned i = 0; i < o->listener_count; i++) {
    fputs("perilune.listen(", out);
    put_text(out, o->listeners[i].address);
    fputs(", policy", out);
    put_options(out, o, &o->listeners[i]);
    fputs(")\n", out);
  }
}

char *proxy_script(const struct forward_options *o, const struct config *config) {
  char *text = NULL;
  size_t bytes;
  FILE *out = open_memstream(&text, &bytes);
  fputs("-- Does what 'perilune proxy' does. Save it, and run it by 'perilune run'.\n", out);
  put_modules(out, o);
  put_peers(out, o);
  put_checks(out, o);
  put_hooks(out, o);
  put_cache(out, o);
  put_listeners(out, o);
  if (config) config_print_script(config, out);
  fclose(out);
  return text;
}
