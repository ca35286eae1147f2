// SPDX-License-Identifier: Apache-2.0
// names: the types for questions about names and for the services that a name server announces, as the
// resolver and the files below it use them.
#ifndef PERILUNE_NET_NAMES_H
#define PERILUNE_NET_NAMES_H

#include "net/addr.h"

enum { RESOLVER_ADDRESSES = 64 }; /* more of a name's addresses are left out */

enum resolver_family { FAMILY_ANY, FAMILY_PREFER_IPV4, FAMILY_IPV4, FAMILY_IPV6 };

/* A record of a service (RFC 2782). */
struct resolver_service {
  struct addr address; /* a name and a port */
  unsigned short priority, weight;
};

#endif
