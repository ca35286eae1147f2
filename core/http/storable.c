// SPDX-License-Identifier: Apache-2.0
// storable: the conditions of RFC 9111 section 3, one function for each part that can forbid it.
#include "http/storable.h"

#include "http/vary.h"

static enum storable for_request(const struct request *request, const struct cache_control *cc);
static enum storable for_status(unsigned status, const struct cache_control *cc);
static enum storable for_fields(const struct request *request, const struct response *response,
                                const struct cache_control *cc, const struct storable_rules *rules);

enum storable storable(const struct request *request, const struct cache_control *request_cc,
                       const struct response *response, const struct cache_control *cc,
                       const struct freshness *freshness, const struct storable_rules *rules) {
  enum storable reason = for_request(request, request_cc);
  if (!reason) reason = for_status(response->status, cc);
  if (!reason) reason = for_fields(request, response, cc, rules);
  if (reason || freshness_left_ms(freshness, 0) > 0) return reason;
  bool has_validator =
      headers_find(&response->headers, STR("ETag")) || headers_find(&response->headers, STR("Last-Modified"));
  return has_validator || freshness->while_revalidate_s || freshness->if_error_s ? STORABLE_YES
                                                                                 : STORABLE_NO_FRESHNESS;
}

const char *storable_name(enum storable reason) {
  static const char *const names[] = {
#define X(id, name) name,
      STORABLE_REASONS(X)
#undef X
  };
  return names[reason];
}

static enum storable for_request(const struct request *request, const struct cache_control *cc) {
  if (request->method != METHOD_GET) return STORABLE_METHOD;
  if (request_has_body(request)) return STORABLE_REQUEST_BODY;
  return cache_control_has(cc, CACHE_NO_STORE) ? STORABLE_REQUEST_NO_STORE : STORABLE_YES;
}

/* Of what a status means for a cache, only these two matter; the others are kept as they are. */
static bool is_understood(unsigned status) { return status != 206 && status_reason(status).len > 0; }

/* must-understand puts no-store out of force where the status is known (section 5.2.2.3). */
static enum storable for_status(unsigned status, const struct cache_control *cc) {
  bool must_understand = cache_control_has(cc, CACHE_MUST_UNDERSTAND);
  if (status < 200 || status == 206 || status == 304) return STORABLE_STATUS;
  if (must_understand) return is_understood(status) ? STORABLE_YES : STORABLE_NOT_UNDERSTOOD;
  return cache_control_has(cc, CACHE_NO_STORE) ? STORABLE_NO_STORE : STORABLE_YES;
}

/* RFC 9111 section 3.5. */
static bool may_share_authorized(const struct cache_control *cc) {
  return cache_control_has(cc, CACHE_PUBLIC) || cache_control_has(cc, CACHE_MUST_REVALIDATE) ||
         cache_control_has(cc, CACHE_S_MAXAGE);
}

static enum storable for_fields(const struct request *request, const struct response *response,
                                const struct cache_control *cc, const struct storable_rules *rules) {
  struct vary vary;
  if (cache_control_has(cc, CACHE_PRIVATE)) return STORABLE_PRIVATE;
  if (headers_find(&request->headers, STR("Authorization")) && !may_share_authorized(cc))
    return STORABLE_AUTHORIZATION;
  bool allows_cookies = rules->keeps_cookies || rules->drops_cookies;
  if (!allows_cookies && headers_find(&response->headers, STR("Set-Cookie"))) return STORABLE_SET_COOKIE;
  return vary_parse(&response->headers, &vary) ? STORABLE_YES : STORABLE_VARY;
}

#define BIT(id) (UINT32_C(1) << FIELD_##id)
static const uint32_t of_connection = BIT(CONNECTION) | BIT(KEEP_ALIVE) | BIT(PROXY_CONNECTION) |
                                      BIT(PROXY_AUTHENTICATE) | BIT(PROXY_AUTHORIZATION) |
                                      BIT(PROXY_AUTHENTICATION_INFO) | BIT(TE) | BIT(TRAILER) |
                                      BIT(TRANSFER_ENCODING) | BIT(UPGRADE) | BIT(HTTP2_SETTINGS);

bool storable_leaves_out(const struct field *field, const struct storable_rules *rules) {
  if (field->id != FIELD_OTHER) return of_connection >> field->id & 1;
  if (str_equal_nocase(field->name, STR("Set-Cookie"))) return !rules->keeps_cookies;
  return str_equal_nocase(field->name, STR("Age"));
}

void storable_strip(struct headers *h, const struct storable_rules *rules) {
  unsigned kept = 0;
  for (unsigned i = 0; i < h->count; i++)
    if (!storable_leaves_out(&h->items[i], rules)) h->items[kept++] = h->items[i];
  h->count = kept;
}
