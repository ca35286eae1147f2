// SPDX-License-Identifier: Apache-2.0
// real_client: see real_client.h. The proxy that has connected is known by its address. It says who has connected to
// it, in the last entry of the field that it writes; if that is a trusted proxy, too, the entry before says who was in
// front of that one. The first address that is not trusted is the client's, and what stands before it is the client's
// own claim, which nobody looks at. An entry that is no address ends the walk, too: then the client is the last proxy
// that is known. The one hard problem is that a proxy passes on the field that it does not write: which of the two is
// believed can be said by `trusted_field`.
#include "exchange/real_client.h"

#include "base/log.h"
#include "exchange/exchange.h"
#include "exchange/settings.h"
#include "http/hops.h"
#include "net/addr.h"
#include "net/cidr.h"

enum { HOPS_MOST = 64, SAID_MOST = 64 };

bool real_client_is_proxy(const struct cidr_set *proxies, struct str client) {
  return str_starts_with(client, STR("unix:")) || cidr_set_contains(proxies, client) == CIDR_INSIDE;
}

bool real_client_walk(const struct cidr_set *proxies, struct hops *hops, struct str *text,
                      struct str *nonsense) {
  struct hops at = *hops;
  struct hop hop;
  bool found = false;
  *nonsense = (struct str){0};
  for (unsigned i = 0; i < HOPS_MOST && hops_previous(&at, &hop); i++) {
    if (hop.kind == HOP_NONSENSE) *nonsense = hop.said;
    if (hop.kind != HOP_ADDRESS) break;
    *hops = at;
    *text = arena_dup(hops->headers->arena, (struct str){hop.text, hop.length});
    found = true;
    if (cidr_set_contains(proxies, *text) != CIDR_INSIDE) break;
  }
  return found;
}

/* FIELD_OTHER: there is none. */
static enum field_id field_to_believe(struct exchange *x) {
  const struct headers *h = &x->request.headers;
  bool has_for = headers_find_id(h, FIELD_X_FORWARDED_FOR) != NULL;
  bool has_forwarded = headers_find_id(h, FIELD_FORWARDED) != NULL;
  switch (x->settings->trusted_field) {
  case TRUSTED_X_FORWARDED_FOR: return has_for ? FIELD_X_FORWARDED_FOR : FIELD_OTHER;
  case TRUSTED_FORWARDED: return has_forwarded ? FIELD_FORWARDED : FIELD_OTHER;
  case TRUSTED_ANY: break;
  }
  if (has_for) return FIELD_X_FORWARDED_FOR;
  return has_forwarded ? FIELD_FORWARDED : FIELD_OTHER;
}

static void report(struct str proxy, enum field_id id, struct str nonsense) {
  size_t shown = nonsense.len < SAID_MOST ? nonsense.len : SAID_MOST;
  log_about(LOG_WARN, proxy, "trusted proxy %.*s: %.*s has '%.*s'%s, which is no address: it is not believed",
            STR_ARG(proxy), STR_ARG(field_name(id)), (int)shown, nonsense.ptr,
            shown < nonsense.len ? "..." : "");
}

void real_client_find(struct exchange *x) {
  const struct cidr_set *proxies = x->settings->trusted_proxies;
  struct str connection = exchange_client_address(x), client, nonsense;
  if (!proxies || !real_client_is_proxy(proxies, connection)) return;
  enum field_id id = field_to_believe(x);
  if (id == FIELD_OTHER) return;
  struct hops hops = hops_of(&x->request.headers, id);
  bool found = real_client_walk(proxies, &hops, &client, &nonsense);
  if (nonsense.len) report(addr_host_of_client(connection), id, nonsense);
  if (!found) return;
  exchange_rare(x)->connection = arena_dup(&x->arena, connection);
  x->rare->client = client;
}
