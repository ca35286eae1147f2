// SPDX-License-Identifier: Apache-2.0
// real_client: who the client of a request is, if it came through proxies that are trusted.
#ifndef PERILUNE_EXCHANGE_REAL_CLIENT_H
#define PERILUNE_EXCHANGE_REAL_CLIENT_H

#include "base/str.h"
#include "http/headers.h"

struct cidr_set;
struct exchange;
struct hops;

/* Is the other end of the connection in that list of proxies? `client` is of stream_client. Clients of a unix socket
 * always are: the permissions of its path decide who can connect. */
bool real_client_is_proxy(const struct cidr_set *proxies, struct str client);
/* Sets x->rare->client, where its listener has trusted_proxies and one of them has connected. */
void real_client_find(struct exchange *x);
/* Walks back over the hops that are trusted. True: `hops` is at the client, whose address is in `text` (arena of the
 * headers). False: the proxy that has connected says nothing usable. */
bool real_client_walk(const struct cidr_set *proxies, struct hops *hops, struct str *text,
                      struct str *nonsense);

#endif
