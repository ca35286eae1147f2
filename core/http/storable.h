// SPDX-License-Identifier: Apache-2.0
// storable: may a shared cache keep this response (RFC 9111 section 3)? Safe by default: in case of doubt it is not
// kept. Each refusal has a reason, which Cache-Status names.
#ifndef PERILUNE_HTTP_STORABLE_H
#define PERILUNE_HTTP_STORABLE_H

#include "http/freshness.h"

/* X(ID, name): why a response is not kept; the first that applies. */
#define STORABLE_REASONS(X)                                                                                  \
  X(YES, "storable")                                                                                         \
  X(METHOD, "method")             /* only what answers a GET is kept */                                      \
  X(REQUEST_BODY, "request_body") /* of a GET, which no key covers */                                        \
  X(REQUEST_NO_STORE, "no_store_asked")                                                                      \
  X(STATUS, "status")                 /* interim, or a part */                                               \
  X(NOT_UNDERSTOOD, "not_understood") /* must-understand, and a status that nobody knows */                  \
  X(NO_STORE, "no_store")                                                                                    \
  X(PRIVATE, "private")                                                                                      \
  X(AUTHORIZATION, "authorization") /* section 3.5 */                                                        \
  X(SET_COOKIE, "set_cookie")                                                                                \
  X(VARY, "vary")                 /* on everything, or on too much */                                        \
  X(NO_FRESHNESS, "no_freshness") /* no lifetime, and nothing to validate it by */

enum storable {
#define X(id, name) STORABLE_##id,
  STORABLE_REASONS(X)
#undef X
      STORABLE_COUNT
};

struct storable_rules {
  bool keeps_cookies; /* responses with Set-Cookie, with the field in them */
  bool drops_cookies; /* such responses, without it: the policy asked for that */
};

/* `request_cc` and `cc` are those of the two. Whether the body came in whole is for the caller to say. */
enum storable storable(const struct request *request, const struct cache_control *request_cc,
                       const struct response *response, const struct cache_control *cc,
                       const struct freshness *freshness, const struct storable_rules *rules);
const char *storable_name(enum storable reason);

/* Is it never kept (section 3.1)? Fields of a connection and of a proxy; Age, which is computed for each answer; and
 * Set-Cookie, unless the rules keep it. */
bool storable_leaves_out(const struct field *field, const struct storable_rules *rules);
/* Takes all of those out. What Connection nominates must be gone already. */
void storable_strip(struct headers *h, const struct storable_rules *rules);

#endif
