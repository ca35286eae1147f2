// SPDX-License-Identifier: Apache-2.0
// claims: the fields by which a proxy says who its client is (RFC 7239 and its predecessors). The same rules apply to
// all of them.
#ifndef PERILUNE_HTTP_CLAIMS_H
#define PERILUNE_HTTP_CLAIMS_H

#include "base/arena.h"
#include "http/headers.h"

/* Forwarded, X-Real-IP, X-Forwarded and X-Forwarded-* in any case; also with '_' for '-', which is the same name to
 * whatever reads it as a variable (CGI, WSGI: HTTP_X_FORWARDED_FOR). Others, like True-Client-IP, belong to single
 * products, and are not of the family. */
bool claims_is_one(const struct field *field);
/* Is one of them written with '_'? No proxy does. */
bool claims_is_disguised(struct str name);
/* A client's host (addr_host_of_client) for X-Forwarded-For: an IP address without zone, or "unknown". */
struct str claims_address(struct str host);
/* The same for Forwarded (RFC 7239 section 6): an IPv6 address stands in brackets and quotes. */
struct str claims_node(struct str host, struct arena *arena);
/* Does a list end where it seems to? An open quote would swallow what is appended. */
bool claims_is_closed(struct str list);

#endif
