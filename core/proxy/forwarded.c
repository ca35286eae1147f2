// SPDX-License-Identifier: Apache-2.0
// forwarded: what a proxy adds to a request on its way: Via (RFC 9110 section 7.6.3), X-Forwarded-For,
// -Proto, -Host, and Forwarded (RFC 7239) where the client sent one. The default replaces what the client
// claims, because only the policy can know whether the client is a proxy to be trusted.
#include "http/headers.h"
#include "proxy/downstream.h"
#include "proxy/walk.h"

static struct str scheme(const struct exchange *x) { return x->secure ? STR("https") : STR("http"); }

/* RFC 7239 section 6: an IPv6 address stands in brackets and quotes; a unix socket's peer is unknown. */
static struct str forwarded_node(struct exchange *x, struct str host) {
  if (str_starts_with(host, STR("unix:"))) return STR("unknown");
  if (str_find(host, ':') < host.len) return arena_printf(&x->arena, "\"[%.*s]\"", STR_ARG(host));
  return host;
}

/* All that the client said, and `value` behind it, in one field: many look at the first or the last line only. */
static struct str appended(struct exchange *x, struct str name, struct str value) {
  struct str list = {0};
  const struct field *field;
  for (unsigned at = 0; (field = headers_next(&x->upstream_request.headers, name, &at));)
    if (field->value.len) list = arena_printf(&x->arena, "%.*s%.*s, ", STR_ARG(list), STR_ARG(field->value));
  return arena_printf(&x->arena, "%.*s%.*s", STR_ARG(list), STR_ARG(value));
}

static void set_or_append(struct exchange *x, enum field_id id, struct str value) {
  if (x->settings->forwarded == FORWARDED_APPEND) value = appended(x, field_name(id), value);
  headers_set_id(&x->upstream_request.headers, id, value);
}

/* What the client said stays. */
static bool is_trusted(const struct exchange *x, enum field_id id) {
  return x->settings->forwarded == FORWARDED_APPEND && headers_find_id(&x->upstream_request.headers, id);
}

static void set_or_remove(struct exchange *x, enum field_id id, struct str value) {
  struct headers *h = &x->upstream_request.headers;
  if (value.len)
    headers_set_id(h, id, value);
  else
    headers_remove_id(h, id);
}

static void add_forwarded(struct exchange *x) {
  struct str host = downstream_client_host(x->downstream), authority = x->request.authority;
  set_or_append(x, FIELD_X_FORWARDED_FOR, host);
  if (!is_trusted(x, FIELD_X_FORWARDED_PROTO))
    headers_set_id(&x->upstream_request.headers, FIELD_X_FORWARDED_PROTO, scheme(x));
  if (!is_trusted(x, FIELD_X_FORWARDED_HOST)) set_or_remove(x, FIELD_X_FORWARDED_HOST, authority);
  if (!headers_find_id(&x->upstream_request.headers, FIELD_FORWARDED)) return;
  struct str node = forwarded_node(x, host);
  set_or_append(x, FIELD_FORWARDED,
                arena_printf(&x->arena, "for=%.*s;proto=%.*s", STR_ARG(node), STR_ARG(scheme(x))));
}

struct str forwarded_via(unsigned minor) {
  return minor >= 1 ? STR("1.1 perilune") : STR("1.0 perilune");
}

/* Via is added as a field of its own: the entries before it are not ours to touch. */
void forwarded_add(struct exchange *x) {
  if (x->settings->forwarded != FORWARDED_KEEP) add_forwarded(x);
  if (x->settings->via)
    headers_add_id(&x->upstream_request.headers, FIELD_VIA, forwarded_via(x->request.minor));
}
