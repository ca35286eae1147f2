// SPDX-License-Identifier: Apache-2.0
// real_client: who the client of a request is where proxies that are trusted stand between it and us.
#ifndef PERILUNE_EXCHANGE_REAL_CLIENT_H
#define PERILUNE_EXCHANGE_REAL_CLIENT_H

#include "base/str.h"
#include "http/headers.h"

struct cidr_set;
struct exchange;
struct hops;

/* Is who has connected in that list of proxies? `client` as stream_client says. Who may connect to a unix socket is
 * said by the permissions of its path: all that can are. */
bool real_client_is_proxy(const struct cidr_set *proxies, struct str client);
/* Sets x->rare->client, where its listener has trusted_proxies and one of them has connected. */
void real_client_find(struct exchange *x);
/* Walks back over the hops that are trusted. True: `hops` is at the client, whose address is in `text` (arena of the
 * headers). False: the proxy that has connected says nothing usable. */
bool real_client_walk(const struct cidr_set *proxies, struct hops *hops, struct str *text,
                      struct str *nonsense);

#endif
