// SPDX-License-Identifier: Apache-2.0
// dns_address: the address of a name server, as people and resolv.conf write it.
#ifndef PERILUNE_NET_DNS_ADDRESS_H
#define PERILUNE_NET_DNS_ADDRESS_H

#include <stdbool.h>

#include "base/str.h"

enum { DNS_ADDRESS_TEXT = 96 };

/* "1.2.3.4", "1.2.3.4:53", "::1", "[::1]", "[fe80::1%eth0]:53" into an address with a port. */
bool dns_address_read(struct str text, char address[DNS_ADDRESS_TEXT]);

#endif
