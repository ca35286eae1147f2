// SPDX-License-Identifier: Apache-2.0
// addresses: the addresses of a name, in the order in which to try them.
#ifndef PERILUNE_NET_ADDRESSES_H
#define PERILUNE_NET_ADDRESSES_H

#include "net/dns_message.h"

struct cached_name;

struct addresses {
  unsigned count;
  int families[RESOLVER_ADDRESSES];
  struct dns_address list[RESOLVER_ADDRESSES];
};

/* One that is there already, or for which there is no room, is left out. */
void addresses_add(struct addresses *addresses, int family, const struct dns_address *address);
/* malloc'd, addresses->count of them. `memory` knows whose turn it is, and what failed. */
struct addr *addresses_in_order(struct addresses *addresses, struct cached_name *memory,
                                enum resolver_family wanted, unsigned short port, double now);
/* See resolver_note. */
void addresses_note(struct cached_name *memory, const struct addr *addr, bool works, double now);

#endif
