// SPDX-License-Identifier: Apache-2.0
// cidr: a set of IP networks, and whether an address is in it: a search among ranges, so long lists cost
// little.
#ifndef PERILUNE_NET_CIDR_H
#define PERILUNE_NET_CIDR_H

#include "base/str.h"

struct cidr_set;

struct cidr_set *cidr_set_new(void);
/* NULL is harmless. */
void cidr_set_free(struct cidr_set *set);
/* "10.0.0.0/8", "2001:db8::/32", or a single address. False: *why is a static sentence. */
bool cidr_set_add(struct cidr_set *set, struct str network, const char **why);
/* After the last one was added: from here on it is only read. */
void cidr_set_seal(struct cidr_set *set);

/* A network's first address, an IPv4 one inside ::ffff:0:0/96, and how many of its 128 bits count. False: *why as
 * above. */
bool cidr_read(struct str network, unsigned char address[16], unsigned *bits, const char **why);
/* The same of an address, which may have a port as below. */
bool cidr_read_address(struct str text, unsigned char address[16]);

enum cidr_answer { CIDR_OUTSIDE, CIDR_INSIDE, CIDR_NO_ADDRESS };
/* "1.2.3.4", "::1", each also with a port: "1.2.3.4:80", "[::1]:80"; unix sockets are outside. An IPv4
 * address written as IPv6 (::ffff:1.2.3.4) is the IPv4 address. */
enum cidr_answer cidr_set_contains(const struct cidr_set *set, struct str address);

#endif
