// SPDX-License-Identifier: Apache-2.0
// forwarded: what a proxy adds to a request on its way: Via (RFC 9110 section 7.6.3), X-Forwarded-For,
// -Proto, -Host, and Forwarded (RFC 7239) where the client sent one. What a client claims about itself (http/claims.h)
// is removed, whatever the suffix, unless the policy knows that the client is a trusted proxy. Fields that the policy
// has set stay.
#include "exchange/real_client.h"
#include "exchange/stream.h"
#include "exchange/walk.h"
#include "http/claims.h"
#include "http/headers.h"
#include "http/hops.h"
#include "net/addr.h"

static struct str scheme(const struct exchange *x) { return x->secure ? STR("https") : STR("http"); }

/* Takes the client's claims away, all or those that no proxy writes. */
static void drop_claims(struct headers *h, bool all) {
  unsigned kept = 0;
  for (unsigned i = 0; i < h->count; i++) {
    const struct field *field = &h->items[i];
    bool goes = !field->is_set && claims_is_one(field) && (all || claims_is_disguised(field->name));
    if (goes) continue;
    if (kept < i) h->items[kept] = *field;
    kept++;
  }
  h->count = kept;
}

static void set_where_missing(struct exchange *x, enum field_id id, struct str value) {
  struct headers *h = &x->now.request.headers;
  if (value.len && !headers_find_id(h, id)) headers_add_id(h, id, value);
}

static void set_client(struct exchange *x) {
  struct headers *h = &x->now.request.headers;
  if (headers_find_id(h, FIELD_X_FORWARDED_FOR)) return;
  if (x->rare && x->rare->client.ptr)
    headers_add_id(h, FIELD_X_FORWARDED_FOR, claims_address(exchange_client_host(x)));
  else
    headers_add_line(h, FIELD_X_FORWARDED_FOR, stream_client_line(x->stream));
}

static void set_scheme(struct exchange *x) {
  struct headers *h = &x->now.request.headers;
  if (headers_find_id(h, FIELD_X_FORWARDED_PROTO)) return;
  headers_add_line(h, FIELD_X_FORWARDED_PROTO,
                   x->secure ? STR("X-Forwarded-Proto: https") : STR("X-Forwarded-Proto: http"));
}

static struct str own_entry(struct exchange *x, struct str host) {
  struct str node = claims_node(host, &x->arena);
  return arena_printf(&x->arena, "for=%.*s;proto=%.*s", STR_ARG(node), STR_ARG(scheme(x)));
}

static void replace(struct exchange *x) {
  CHECK_OBJ(x, EXCHANGE_MAGIC);
  struct headers *h = &x->now.request.headers;
  bool had_forwarded = headers_find_id(h, FIELD_FORWARDED) != NULL;
  drop_claims(h, true);
  set_client(x);
  set_scheme(x);
  set_where_missing(x, FIELD_X_FORWARDED_HOST, x->request.authority);
  if (had_forwarded) set_where_missing(x, FIELD_FORWARDED, own_entry(x, exchange_client_host(x)));
}

static bool is_set(const struct headers *h, enum field_id id) {
  for (unsigned i = 0; i < h->count; i++)
    if (h->items[i].id == id && h->items[i].is_set) return true;
  return false;
}

/* Where what trusted proxies say begins; what is before that is the client's own. Without such proxies, or where the
 * policy has set one: the whole. */
static struct hops believed_part(struct exchange *x, enum field_id id) {
  struct headers *h = &x->now.request.headers;
  struct hops hops = hops_of(h, id);
  struct str client, nonsense;
  if (!x->settings->trusted_proxies || is_set(h, id)) return (struct hops){0};
  real_client_walk(x->settings->trusted_proxies, &hops, &client, &nonsense);
  return hops;
}

/* All that is believed of what the client said, and `value` behind it, in one field: many look at the first or the last
 * line only. */
static void append_to(struct exchange *x, enum field_id id, struct str value) {
  struct headers *h = &x->now.request.headers;
  struct hops from = believed_part(x, id);
  struct str list = {0};
  const struct field *field;
  for (unsigned at = from.line; (field = headers_next(h, field_name(id), &at));) {
    struct str said = at == from.line + 1 ? str_trim(str_from(field->value, from.start)) : field->value;
    if (said.len && claims_is_closed(said))
      list = arena_printf(&x->arena, "%.*s%.*s, ", STR_ARG(list), STR_ARG(said));
  }
  headers_set_id(h, id, arena_printf(&x->arena, "%.*s%.*s", STR_ARG(list), STR_ARG(value)));
}

/* The client is a proxy that is trusted: what it says of its own client is passed on, in a chain or as it is. */
static void append(struct exchange *x) {
  CHECK_OBJ(x, EXCHANGE_MAGIC);
  struct headers *h = &x->now.request.headers;
  drop_claims(h, false);
  append_to(x, FIELD_X_FORWARDED_FOR, claims_address(exchange_connection_host(x)));
  set_scheme(x);
  set_where_missing(x, FIELD_X_FORWARDED_HOST, x->request.authority);
  if (headers_find_id(h, FIELD_FORWARDED))
    append_to(x, FIELD_FORWARDED, own_entry(x, exchange_connection_host(x)));
}

static bool trusts_client(struct exchange *x) {
  const struct cidr_set *senders = x->settings->forwarded_senders;
  return !senders || real_client_is_proxy(senders, exchange_connection_host(x));
}

/* As a field of its own: the entries before it are not ours to touch. */
static void add_via(struct headers *headers, bool is_http2, unsigned minor) {
  struct str line = minor >= 1 ? STR("Via: 1.1 perilune") : STR("Via: 1.0 perilune");
  headers_add_line(headers, FIELD_VIA, is_http2 ? STR("Via: 2.0 perilune") : line);
}

void forwarded_add_via(struct headers *headers, const struct response *response) {
  add_via(headers, response->is_http2, response->minor);
}

void forwarded_add(struct exchange *x) {
  switch (x->settings->forwarded) {
  case FORWARDED_REPLACE: replace(x); break;
  case FORWARDED_APPEND: trusts_client(x) ? append(x) : replace(x); break;
  case FORWARDED_KEEP: break;
  }
  if (x->settings->via) add_via(&x->now.request.headers, x->request.is_http2, x->request.minor);
}
