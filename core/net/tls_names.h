// SPDX-License-Identifier: Apache-2.0
// tls_names: which name is sent to the other side (SNI), and which name its certificate must have. One rule for all
// connections: to peers, and those that a policy opens.
#ifndef PERILUNE_NET_TLS_NAMES_H
#define PERILUNE_NET_TLS_NAMES_H

#include "base/str.h"

struct addr;
struct arena;

struct tls_names {
  struct str sni;    /* empty: none is sent */
  struct str verify; /* empty: nothing can be verified */
};

/* `said` is what the policy says. If `verify` is empty, the SNI that the policy gave is verified, else the host of
 * the address. If `sni` is empty, it is the host of the address, if that is a name. A unix socket has no host.
 * Borrowed from the arguments, or in the arena. */
struct tls_names tls_names(struct tls_names said, const struct addr *addr, struct arena *arena);

#endif
